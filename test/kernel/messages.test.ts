import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { Content } from "../../kernel-ext/kernel/wire";
import { jupyter, python } from "./jupyter-run";

/*
 * The messages that VS Code's Jupyter extension sends (read in microsoft/vscode-jupyter, November 2026), and what Jupyter's messaging
 * protocol 5.4 says of their answers. It speaks to a kernel through JupyterLab's client: kernel_info on shell and control until one is answered;
 * cells with allow_stdin and without stop_on_error, the cell's metadata beside; code of its own as not silent but without history;
 * completion and inspection while cells run; an interrupt_request on control, which is answered while the cell still loops.
 * frontends/messages.py sends them all to one kernel.
 */

interface Message {
  type: string;
  content: Content;
  channel?: "shell" | "control";
  metadata?: Content;
  noReply?: true;
  when?: { printed: string; send: Message[] };
  answers?: string[];
}

interface Told {
  reply: { type: string; channel: string; content: Content; version: string } | null;
  outputs: { type: string; content: Content }[];
  state: string[];
  prompts: Content[];
  when: Told[];
}

const execute = (code: string, content: Content = {}, more: Partial<Message> = {}): Message => ({
  type: "execute_request",
  content: { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: true, stop_on_error: false, ...content },
  metadata: { cellId: "vscode-notebook-cell:/note.ipynb#W0sZmlsZQ%3D%3D", tags: [] },
  ...more,
});
const hidden = (code: string): Message => execute(code, { store_history: false }, { metadata: {} });
const request = (type: string, content: Content = {}, channel: "shell" | "control" = "shell"): Message => ({ type: `${type}_request`, content, channel });
const history = (content: Content): Message => request("history", { output: false, raw: true, ...content });
const interrupt = request("interrupt", {}, "control");
const DOCUMENTED = "/**\n * Adds up.\n * @param values what is added\n */\n" +
  "function total(values: number[], start = 0): number {\n  return values.reduce((a, b) => a + b, start);\n}\n";
const SMILE = "const smile = '😀'; smile.lengt"; // the picture is one code point and two units; Jupyter counts points
const points = (text: string): number => [...text].length;

/** One turn after the other; messages of a turn are sent at once. Their order is that of the tests. */
const turns = {
  connect: [request("kernel_info", {}, "control"), request("kernel_info"), request("comm_info", { target_name: "jupyter.widget" })],
  cell: [execute("const a = 1;\nconst b: number = 2;\nconsole.log('printed');\na + b")],
  own: [hidden("const fromExtension = a + 10;\nconsole.log('of the extension');\nfromExtension")],
  silent: [execute("const quiet = 5;\nconsole.log('unheard');\nquiet", { silent: true, store_history: true })],
  silentError: [execute("throw new Error('unheard')", { silent: true })],
  afterQuiet: [execute("quiet + fromExtension")],
  expressions: [execute("const c = 3;", { user_expressions: {
    sum: "a + b + c", text: "'x'", html: "({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': '<i>y</i>', 'text/plain': 'y' }) })",
    later: "await Promise.resolve([c])", missing: "nowhere", throws: "(() => { throw new RangeError('in it'); })()",
  } })],
  onlyExpressions: [execute("", { silent: true, user_expressions: { sum: "a + 1" } })],
  noExpressions: [execute("throw new Error('first')", { user_expressions: { sum: "a" } })],
  together: [
    execute("throw new Error('goes on')"), execute("'ran'"), execute("throw new Error('stops')", { stop_on_error: true }), execute("'not'"), execute("'nor this'"),
  ],
  again: [execute("'runs again'")],
  input: [execute("const given = await input('Name? ');\nconst secret = await input('Word? ', { password: true });\n[given, secret.length]", {}, {
    answers: ["Ada", "four"],
  })],
  noInput: [execute("await input('Name? ')", { allow_stdin: false })],
  clear: [execute("console.log('old');\nclearOutput({ wait: true });\nconsole.log('new');\nclearOutput();\n" +
    "await display({ 'text/plain': 'last' }, { display_id: 'd' });\nvoid display({ 'text/plain': 'least' }, { display_id: 'd', update: true });")],
  documented: [execute(DOCUMENTED)],
  complete: [
    request("complete", { code: "tota", cursor_pos: 4 }), request("complete", { code: SMILE, cursor_pos: points(SMILE) }),
    request("complete", { code: "total([1]).toF + a", cursor_pos: 14 }), request("complete", { code: "__file__.", cursor_pos: 9 }),
    request("complete", { code: "", cursor_pos: 0 }),
  ],
  inspect: [
    request("inspect", { code: "total", cursor_pos: 2, detail_level: 0 }), request("inspect", { code: "const t = total([1]);", cursor_pos: 15, detail_level: 0 }),
    request("inspect", { code: "'😀'; Math.max(1)", cursor_pos: 12, detail_level: 1 }), request("inspect", { code: "nowhereAtAll", cursor_pos: 4, detail_level: 0 }),
  ],
  isComplete: [request("is_complete", { code: "a + b" }), request("is_complete", { code: "for (const x of [1]) {" }), request("is_complete", { code: "const = 1;" })],
  comms: [
    { type: "comm_open", content: { comm_id: "c1", target_name: "of nobody", data: {} }, noReply: true as const },
    { type: "comm_msg", content: { comm_id: "c1", data: {} }, noReply: true as const },
    { type: "debug_request", content: { type: "request", seq: 1, command: "debugInfo", arguments: {} }, channel: "control" as const, noReply: true as const },
    { type: "unheard_of_request", content: {}, noReply: true as const },
    request("comm_info"), request("kernel_info"),
  ],
  loop: [execute("let steps = 0;\nconsole.log('looping');\nwhile (true) steps++;", {}, {
    when: { printed: "looping", send: [request("kernel_info", {}, "control"), interrupt] },
  })],
  lateLoop: [execute("await new Promise((r) => setTimeout(r, 5));\nconsole.log('looping');\nwhile (true) steps++;", {}, {
    when: { printed: "looping", send: [interrupt] },
  })],
  waiting: [execute("console.log('waiting');\nawait new Promise(() => { setTimeout(() => {}, 1e8); });", {}, {
    when: { printed: "waiting", send: [request("complete", { code: "tota", cursor_pos: 4 }), interrupt] },
  })],
  idle: [interrupt],
  afterLoops: [execute("[steps > 0, a]")],
  tail: [history({ hist_access_type: "tail", n: 3 }), history({ hist_access_type: "tail", n: 2, output: true }), history({ hist_access_type: "tail", n: 1000 })],
  range: [
    history({ hist_access_type: "range", session: 0, start: 1, stop: 3 }), history({ hist_access_type: "range", session: 0, start: 1, stop: 2, output: true }),
    history({ hist_access_type: "range", session: 0, start: 9000, stop: 9001 }),
  ],
  search: [
    history({ hist_access_type: "search", pattern: "*runs ?gain*", n: 10 }), history({ hist_access_type: "search", pattern: "*", n: 2 }),
    history({ hist_access_type: "search", pattern: "*unheard*", n: 10 }), history({ hist_access_type: "search", pattern: "runs", n: 10 }),
  ],
  twice: [execute("'twice'"), execute("'twice'")],
  unique: [history({ hist_access_type: "search", pattern: "'twice'", n: 10, unique: true }), history({ hist_access_type: "search", pattern: "'twice'", n: 10 })],
  restart: "restart",
  fresh: [execute("typeof (globalThis as any).steps")],
  unknown: [execute("a")],
  shutdown: [request("shutdown", { restart: false }, "control")],
} satisfies Record<string, Message[] | "restart">;

type Turn = keyof typeof turns;
let answers: Record<Turn, Told[]>;

before(async () => {
  const out = await python("frontends/messages.py", [jupyter.kernel], JSON.stringify(Object.values(turns)));
  const told = JSON.parse(out) as Told[][];
  answers = Object.fromEntries(Object.keys(turns).map((name, i) => [name, told[i]])) as typeof answers;
});

const reply = (turn: Turn, at = 0): Content => answers[turn][at].reply?.content ?? assert.fail(`${turn}: no reply`);
const kinds = ({ outputs }: Told): string[] => outputs.map(({ type }) => type);
const plain = (content: Content): unknown => (content.data as Content | undefined)?.["text/plain"];
/** What a cell shows as its value, or, if it failed, its error. */
const value = (turn: Turn, at = 0): unknown => {
  const { outputs, reply: replied } = answers[turn][at];
  const shown = outputs.find(({ type }) => type === "execute_result");
  return shown ? plain(shown.content) : `${replied?.content.status}: ${replied?.content.ename} ${replied?.content.evalue}`;
};
const inputs = (turn: Turn, at = 0): string[] => (reply(turn, at).history as [number, number, string][]).map(([, , input]) => input);

test("on connecting: kernel_info on shell and on control, comm_info", () => {
  const [control, shell, comms] = answers.connect;
  assert.deepEqual([control.reply?.channel, shell.reply?.channel, comms.reply?.channel], ["control", "shell", "shell"]);
  assert.deepEqual(control.reply?.content, shell.reply?.content);
  const { status, protocol_version, implementation, banner, language_info } = reply("connect") as Record<string, Content & string>;
  assert.deepEqual([status, implementation], ["ok", "saelab"]);
  assert.match(protocol_version, /^5\.[3-9]/);
  assert.equal(control.reply?.version, protocol_version);
  assert.match(banner, /saelab/);
  assert.deepEqual([language_info.name, language_info.file_extension], ["typescript", ".ts"]);
  assert.match(String(language_info.version), /^\d+\.\d+\.\d+/);
  assert.deepEqual(reply("connect", 2), { status: "ok", comms: {} });
});

test("every request is framed by busy and idle", () => {
  for (const [name, told] of Object.entries(answers)) {
    for (const { state, reply: replied } of [...told, ...told.flatMap(({ when }) => when)]) {
      // A cell may say busy again, for a front end that took another request's idle for its own.
      if (replied) assert.deepEqual([...new Set(state), state.indexOf("idle")], ["busy", "idle", state.length - 1], `${name}: ${replied.type}: ${state}`);
    }
  }
});

test("a cell: input, output and value in order, and a reply with its count", () => {
  const [cell] = answers.cell;
  assert.deepEqual(kinds(cell), ["execute_input", "stream", "execute_result"]);
  assert.deepEqual(cell.outputs[0].content, { code: turns.cell[0].content.code, execution_count: 1 });
  assert.deepEqual(cell.outputs[2].content, { execution_count: 1, data: { "text/plain": "3" }, metadata: {} });
  assert.deepEqual(reply("cell"), { status: "ok", execution_count: 1, user_expressions: {}, payload: [] });
});

test("code of the extension's own runs and shows, but does not count", () => {
  assert.deepEqual(kinds(answers.own[0]), ["execute_input", "stream", "execute_result"]);
  assert.deepEqual([value("own"), reply("own").execution_count], ["11", 1]);
});

test("silent code runs and shows nothing, not even its count", () => {
  assert.deepEqual(kinds(answers.silent[0]), []);
  assert.deepEqual([reply("silent").status, reply("silent").execution_count], ["ok", 1]);
  assert.equal(reply("silentError").status, "error");
  assert.equal(reply("silentError").evalue, "unheard");
  assert.deepEqual([value("afterQuiet"), reply("afterQuiet").execution_count], ["16", 2]);
});

test("user_expressions are bundles, each with an error of its own", () => {
  const { sum, text, html, later, missing, throws } = reply("expressions").user_expressions as Record<string, Content>;
  assert.deepEqual(sum, { status: "ok", data: { "text/plain": "6" }, metadata: {} });
  assert.deepEqual([plain(text), plain(later)], ["'x'", "[ 3 ]"]);
  assert.deepEqual([html.status, plain(html)], ["ok", "y"]);
  for (const failed of [missing, throws]) {
    assert.equal(failed.status, "error");
    assert.ok(Array.isArray(failed.traceback));
  }
  assert.deepEqual([throws.ename, throws.evalue], ["RangeError", "in it"]);
  assert.match(String(missing.evalue), /nowhere/);
  assert.equal(reply("expressions").status, "ok", "an expression that fails does not fail the cell");
  assert.deepEqual(kinds(answers.expressions[0]), ["execute_input"]);
  assert.equal(plain((reply("onlyExpressions").user_expressions as Record<string, Content>).sum), "2");
  assert.deepEqual([reply("noExpressions").status, reply("noExpressions").evalue], ["error", "first"]);
});

test("cells sent together go on after an error, or are aborted where that was asked for", () => {
  assert.deepEqual(answers.together.map(({ reply: replied }) => replied?.content.status), ["error", "ok", "error", "aborted", "aborted"]);
  assert.equal(value("together", 1), "'ran'");
  assert.deepEqual(kinds(answers.together[3]), []);
  assert.equal(value("again"), "'runs again'");
});

test("input asks the front end, a password without echo; where it may not ask, it fails", () => {
  assert.deepEqual(answers.input[0].prompts, [{ prompt: "Name? ", password: false }, { prompt: "Word? ", password: true }]);
  assert.equal(value("input"), "[ 'Ada', 4 ]");
  assert.equal(reply("noInput").status, "error");
  assert.deepEqual(answers.noInput[0].prompts, []);
});

test("clearOutput, display and update come in the order of the code", () => {
  assert.deepEqual(answers.clear[0].outputs.slice(1).map(({ type, content }) => [type, content.text ?? content.wait ?? plain(content)]), [
    ["stream", "old\n"], ["clear_output", true], ["stream", "new\n"], ["clear_output", false], ["display_data", "last"], ["update_display_data", "least"],
  ]);
});

test("completion knows the cells, replaces what it says, and counts code points", () => {
  const applied = (at: number): string[] => {
    const { matches, cursor_start, cursor_end, status } = reply("complete", at) as { matches: string[]; cursor_start: number; cursor_end: number; status: string };
    assert.equal(status, "ok");
    const code = [...String(turns.complete[at].content.code)];
    return matches.map((match) => code.slice(0, cursor_start).join("") + match + code.slice(cursor_end).join(""));
  };
  assert.deepEqual(applied(0), ["total"]);
  assert.deepEqual(applied(1), ["const smile = '😀'; smile.length"]);
  assert.deepEqual(applied(2), ["total([1]).toFixed + a"]);
  assert.deepEqual(applied(3), []); // what VS Code asks every kernel now and then
  assert.ok(applied(4).includes("total"));
});

test("inspection gives type and documentation of what is at the cursor", () => {
  for (const at of [0, 1]) {
    const { status, found, data } = reply("inspect", at) as { status: string; found: boolean; data: Record<string, string> };
    assert.deepEqual([status, found], ["ok", true]);
    assert.match(data["text/plain"], /total\(values: number\[\], start\?: number\): number/);
    assert.match(data["text/plain"], /Adds up\./);
    assert.match(data["text/plain"], /what is added/);
  }
  assert.match(String(plain(reply("inspect", 2))), /max\(\.\.\.values: number\[\]\): number[^]*larg(?:er|est)/);
  assert.deepEqual(reply("inspect", 3), { status: "ok", found: false, data: {}, metadata: {} });
});

test("is_complete: complete, incomplete with an indent, invalid", () => {
  assert.deepEqual(reply("isComplete", 0), { status: "complete" });
  assert.deepEqual(reply("isComplete", 1), { status: "incomplete", indent: "  " });
  assert.deepEqual(reply("isComplete", 2), { status: "invalid" });
});

test("a comm nobody listens to is closed again; what is unknown is left unanswered and harms nothing", () => {
  const [open, , , unheard] = answers.comms;
  assert.deepEqual(open.outputs.map(({ type, content }) => [type, content.comm_id]), [["comm_close", "c1"]]);
  assert.equal(unheard.reply, null);
  assert.deepEqual(reply("comms", 4), { status: "ok", comms: {} });
  assert.equal(reply("comms", 5).status, "ok");
});

for (const [turn, what] of [["loop", "a loop that gives no turn"], ["lateLoop", "such a loop after the first await"], ["waiting", "a cell that waits"]] as const) {
  test(`interrupt_request stops ${what}; it is answered meanwhile`, () => {
    const [cell] = answers[turn];
    const interrupted = cell.when.at(-1)!.reply!;
    assert.deepEqual([interrupted.type, interrupted.channel, interrupted.content], ["interrupt_reply", "control", { status: "ok" }]);
    for (const other of cell.when.slice(0, -1)) assert.equal(other.reply?.content.status, "ok");
    assert.equal(reply(turn).ename, "KeyboardInterrupt");
    assert.deepEqual(kinds(cell), ["execute_input", "stream", "error"]);
  });
}

test("an interrupt with nothing to stop is answered too; after all of them the variables are there", () => {
  assert.deepEqual(reply("idle"), { status: "ok" });
  assert.equal(value("afterLoops"), "[ true, 1 ]");
});

test("history's tail: the last cells in order, with what they showed on request, nothing hidden or silent", () => {
  assert.deepEqual(inputs("tail"), [turns.lateLoop, turns.waiting, turns.afterLoops].map(([{ content }]) => content.code));
  assert.deepEqual((reply("tail", 1).history as [number, number, [string, string | null]][]).map(([, , [input, output]]) => [input, output]), [
    [turns.waiting[0].content.code, null], [turns.afterLoops[0].content.code, "[ true, 1 ]"],
  ]);
  const all = inputs("tail", 2).join("\n");
  assert.match(all, /printed/);
  assert.doesNotMatch(all, /unheard|of the extension/);
});

test("history's range: lines of this session, with what they showed on request", () => {
  assert.deepEqual((reply("range").history as [number, number, string][]).map(([, line, input]) => [line, input]), [
    [1, turns.cell[0].content.code], [2, turns.afterQuiet[0].content.code],
  ]);
  assert.deepEqual((reply("range", 1).history as [number, number, unknown][]).map(([, line, both]) => [line, both]), [[1, [turns.cell[0].content.code, "3"]]]);
  assert.deepEqual(reply("range", 2), { status: "ok", history: [] });
});

test("history's search: glob patterns over whole cells, the last n, each once on request", () => {
  assert.deepEqual(inputs("search"), ["'runs again'"]);
  assert.equal(inputs("search", 1).length, 2);
  assert.deepEqual(inputs("search", 2), []);
  assert.deepEqual(inputs("search", 3), []);
  assert.deepEqual([inputs("unique"), inputs("unique", 1)], [["'twice'"], ["'twice'", "'twice'"]]);
});

test("a shutdown with restart is answered, ends the process, and what starts then is fresh", () => {
  assert.deepEqual(reply("restart"), { status: "ok", restart: true });
  assert.deepEqual([value("fresh"), reply("fresh").execution_count], ["'undefined'", 1]);
  assert.equal(reply("unknown").status, "error");
  assert.deepEqual(reply("shutdown"), { status: "ok", restart: false });
});
