"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const jupyter_run_1 = require("./jupyter-run");
const execute = (code, content = {}, more = {}) => ({
    type: "execute_request",
    content: { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: true, stop_on_error: false, ...content },
    metadata: { cellId: "vscode-notebook-cell:/note.ipynb#W0sZmlsZQ%3D%3D", tags: [] },
    ...more,
});
const hidden = (code) => execute(code, { store_history: false }, { metadata: {} });
const request = (type, content = {}, channel = "shell") => ({ type: `${type}_request`, content, channel });
const history = (content) => request("history", { output: false, raw: true, ...content });
const interrupt = request("interrupt", {}, "control");
const DOCUMENTED = "/**\n * Adds up.\n * @param values what is added\n */\n" +
    "function total(values: number[], start = 0): number {\n  return values.reduce((a, b) => a + b, start);\n}\n";
const SMILE = "const smile = '😀'; smile.lengt"; // the picture is one code point and two units; Jupyter counts points
const points = (text) => [...text].length;
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
        { type: "comm_open", content: { comm_id: "c1", target_name: "of nobody", data: {} }, noReply: true },
        { type: "comm_msg", content: { comm_id: "c1", data: {} }, noReply: true },
        { type: "debug_request", content: { type: "request", seq: 1, command: "debugInfo", arguments: {} }, channel: "control", noReply: true },
        { type: "unheard_of_request", content: {}, noReply: true },
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
};
let answers;
(0, node_test_1.before)(async () => {
    const out = await (0, jupyter_run_1.python)("frontends/messages.py", [jupyter_run_1.jupyter.kernel], JSON.stringify(Object.values(turns)));
    const told = JSON.parse(out);
    answers = Object.fromEntries(Object.keys(turns).map((name, i) => [name, told[i]]));
});
const reply = (turn, at = 0) => answers[turn][at].reply?.content ?? strict_1.default.fail(`${turn}: no reply`);
const kinds = ({ outputs }) => outputs.map(({ type }) => type);
const plain = (content) => content.data?.["text/plain"];
/** What a cell shows as its value, or, if it failed, its error. */
const value = (turn, at = 0) => {
    const { outputs, reply: replied } = answers[turn][at];
    const shown = outputs.find(({ type }) => type === "execute_result");
    return shown ? plain(shown.content) : `${replied?.content.status}: ${replied?.content.ename} ${replied?.content.evalue}`;
};
const inputs = (turn, at = 0) => reply(turn, at).history.map(([, , input]) => input);
(0, node_test_1.test)("on connecting: kernel_info on shell and on control, comm_info", () => {
    const [control, shell, comms] = answers.connect;
    strict_1.default.deepEqual([control.reply?.channel, shell.reply?.channel, comms.reply?.channel], ["control", "shell", "shell"]);
    strict_1.default.deepEqual(control.reply?.content, shell.reply?.content);
    const { status, protocol_version, implementation, banner, language_info } = reply("connect");
    strict_1.default.deepEqual([status, implementation], ["ok", "saelab"]);
    strict_1.default.match(protocol_version, /^5\.[3-9]/);
    strict_1.default.equal(control.reply?.version, protocol_version);
    strict_1.default.match(banner, /saelab/);
    strict_1.default.deepEqual([language_info.name, language_info.file_extension], ["typescript", ".ts"]);
    strict_1.default.match(String(language_info.version), /^\d+\.\d+\.\d+/);
    strict_1.default.deepEqual(reply("connect", 2), { status: "ok", comms: {} });
});
(0, node_test_1.test)("every request is framed by busy and idle", () => {
    for (const [name, told] of Object.entries(answers)) {
        for (const { state, reply: replied } of [...told, ...told.flatMap(({ when }) => when)]) {
            // A cell may say busy again, for a front end that took another request's idle for its own.
            if (replied)
                strict_1.default.deepEqual([...new Set(state), state.indexOf("idle")], ["busy", "idle", state.length - 1], `${name}: ${replied.type}: ${state}`);
        }
    }
});
(0, node_test_1.test)("a cell: input, output and value in order, and a reply with its count", () => {
    const [cell] = answers.cell;
    strict_1.default.deepEqual(kinds(cell), ["execute_input", "stream", "execute_result"]);
    strict_1.default.deepEqual(cell.outputs[0].content, { code: turns.cell[0].content.code, execution_count: 1 });
    strict_1.default.deepEqual(cell.outputs[2].content, { execution_count: 1, data: { "text/plain": "3" }, metadata: {} });
    strict_1.default.deepEqual(reply("cell"), { status: "ok", execution_count: 1, user_expressions: {}, payload: [] });
});
(0, node_test_1.test)("code of the extension's own runs and shows, but does not count", () => {
    strict_1.default.deepEqual(kinds(answers.own[0]), ["execute_input", "stream", "execute_result"]);
    strict_1.default.deepEqual([value("own"), reply("own").execution_count], ["11", 1]);
});
(0, node_test_1.test)("silent code runs and shows nothing, not even its count", () => {
    strict_1.default.deepEqual(kinds(answers.silent[0]), []);
    strict_1.default.deepEqual([reply("silent").status, reply("silent").execution_count], ["ok", 1]);
    strict_1.default.equal(reply("silentError").status, "error");
    strict_1.default.equal(reply("silentError").evalue, "unheard");
    strict_1.default.deepEqual([value("afterQuiet"), reply("afterQuiet").execution_count], ["16", 2]);
});
(0, node_test_1.test)("user_expressions are bundles, each with an error of its own", () => {
    const { sum, text, html, later, missing, throws } = reply("expressions").user_expressions;
    strict_1.default.deepEqual(sum, { status: "ok", data: { "text/plain": "6" }, metadata: {} });
    strict_1.default.deepEqual([plain(text), plain(later)], ["'x'", "[ 3 ]"]);
    strict_1.default.deepEqual([html.status, plain(html)], ["ok", "y"]);
    for (const failed of [missing, throws]) {
        strict_1.default.equal(failed.status, "error");
        strict_1.default.ok(Array.isArray(failed.traceback));
    }
    strict_1.default.deepEqual([throws.ename, throws.evalue], ["RangeError", "in it"]);
    strict_1.default.match(String(missing.evalue), /nowhere/);
    strict_1.default.equal(reply("expressions").status, "ok", "an expression that fails does not fail the cell");
    strict_1.default.deepEqual(kinds(answers.expressions[0]), ["execute_input"]);
    strict_1.default.equal(plain(reply("onlyExpressions").user_expressions.sum), "2");
    strict_1.default.deepEqual([reply("noExpressions").status, reply("noExpressions").evalue], ["error", "first"]);
});
(0, node_test_1.test)("cells sent together go on after an error, or are aborted where that was asked for", () => {
    strict_1.default.deepEqual(answers.together.map(({ reply: replied }) => replied?.content.status), ["error", "ok", "error", "aborted", "aborted"]);
    strict_1.default.equal(value("together", 1), "'ran'");
    strict_1.default.deepEqual(kinds(answers.together[3]), []);
    strict_1.default.equal(value("again"), "'runs again'");
});
(0, node_test_1.test)("input asks the front end, a password without echo; where it may not ask, it fails", () => {
    strict_1.default.deepEqual(answers.input[0].prompts, [{ prompt: "Name? ", password: false }, { prompt: "Word? ", password: true }]);
    strict_1.default.equal(value("input"), "[ 'Ada', 4 ]");
    strict_1.default.equal(reply("noInput").status, "error");
    strict_1.default.deepEqual(answers.noInput[0].prompts, []);
});
(0, node_test_1.test)("clearOutput, display and update come in the order of the code", () => {
    strict_1.default.deepEqual(answers.clear[0].outputs.slice(1).map(({ type, content }) => [type, content.text ?? content.wait ?? plain(content)]), [
        ["stream", "old\n"], ["clear_output", true], ["stream", "new\n"], ["clear_output", false], ["display_data", "last"], ["update_display_data", "least"],
    ]);
});
(0, node_test_1.test)("completion knows the cells, replaces what it says, and counts code points", () => {
    const applied = (at) => {
        const { matches, cursor_start, cursor_end, status } = reply("complete", at);
        strict_1.default.equal(status, "ok");
        const code = [...String(turns.complete[at].content.code)];
        return matches.map((match) => code.slice(0, cursor_start).join("") + match + code.slice(cursor_end).join(""));
    };
    strict_1.default.deepEqual(applied(0), ["total"]);
    strict_1.default.deepEqual(applied(1), ["const smile = '😀'; smile.length"]);
    strict_1.default.deepEqual(applied(2), ["total([1]).toFixed + a"]);
    strict_1.default.deepEqual(applied(3), []); // what VS Code asks every kernel now and then
    strict_1.default.ok(applied(4).includes("total"));
});
(0, node_test_1.test)("inspection gives type and documentation of what is at the cursor", () => {
    for (const at of [0, 1]) {
        const { status, found, data } = reply("inspect", at);
        strict_1.default.deepEqual([status, found], ["ok", true]);
        strict_1.default.match(data["text/plain"], /total\(values: number\[\], start\?: number\): number/);
        strict_1.default.match(data["text/plain"], /Adds up\./);
        strict_1.default.match(data["text/plain"], /what is added/);
    }
    strict_1.default.match(String(plain(reply("inspect", 2))), /max\(\.\.\.values: number\[\]\): number[^]*larg(?:er|est)/);
    strict_1.default.deepEqual(reply("inspect", 3), { status: "ok", found: false, data: {}, metadata: {} });
});
(0, node_test_1.test)("is_complete: complete, incomplete with an indent, invalid", () => {
    strict_1.default.deepEqual(reply("isComplete", 0), { status: "complete" });
    strict_1.default.deepEqual(reply("isComplete", 1), { status: "incomplete", indent: "  " });
    strict_1.default.deepEqual(reply("isComplete", 2), { status: "invalid" });
});
(0, node_test_1.test)("a comm nobody listens to is closed again; what is unknown is left unanswered and harms nothing", () => {
    const [open, , , unheard] = answers.comms;
    strict_1.default.deepEqual(open.outputs.map(({ type, content }) => [type, content.comm_id]), [["comm_close", "c1"]]);
    strict_1.default.equal(unheard.reply, null);
    strict_1.default.deepEqual(reply("comms", 4), { status: "ok", comms: {} });
    strict_1.default.equal(reply("comms", 5).status, "ok");
});
for (const [turn, what] of [["loop", "a loop that gives no turn"], ["lateLoop", "such a loop after the first await"], ["waiting", "a cell that waits"]]) {
    (0, node_test_1.test)(`interrupt_request stops ${what}; it is answered meanwhile`, () => {
        const [cell] = answers[turn];
        const interrupted = cell.when.at(-1).reply;
        strict_1.default.deepEqual([interrupted.type, interrupted.channel, interrupted.content], ["interrupt_reply", "control", { status: "ok" }]);
        for (const other of cell.when.slice(0, -1))
            strict_1.default.equal(other.reply?.content.status, "ok");
        strict_1.default.equal(reply(turn).ename, "KeyboardInterrupt");
        strict_1.default.deepEqual(kinds(cell), ["execute_input", "stream", "error"]);
    });
}
(0, node_test_1.test)("an interrupt with nothing to stop is answered too; after all of them the variables are there", () => {
    strict_1.default.deepEqual(reply("idle"), { status: "ok" });
    strict_1.default.equal(value("afterLoops"), "[ true, 1 ]");
});
(0, node_test_1.test)("history's tail: the last cells in order, with what they showed on request, nothing hidden or silent", () => {
    strict_1.default.deepEqual(inputs("tail"), [turns.lateLoop, turns.waiting, turns.afterLoops].map(([{ content }]) => content.code));
    strict_1.default.deepEqual(reply("tail", 1).history.map(([, , [input, output]]) => [input, output]), [
        [turns.waiting[0].content.code, null], [turns.afterLoops[0].content.code, "[ true, 1 ]"],
    ]);
    const all = inputs("tail", 2).join("\n");
    strict_1.default.match(all, /printed/);
    strict_1.default.doesNotMatch(all, /unheard|of the extension/);
});
(0, node_test_1.test)("history's range: lines of this session, with what they showed on request", () => {
    strict_1.default.deepEqual(reply("range").history.map(([, line, input]) => [line, input]), [
        [1, turns.cell[0].content.code], [2, turns.afterQuiet[0].content.code],
    ]);
    strict_1.default.deepEqual(reply("range", 1).history.map(([, line, both]) => [line, both]), [[1, [turns.cell[0].content.code, "3"]]]);
    strict_1.default.deepEqual(reply("range", 2), { status: "ok", history: [] });
});
(0, node_test_1.test)("history's search: glob patterns over whole cells, the last n, each once on request", () => {
    strict_1.default.deepEqual(inputs("search"), ["'runs again'"]);
    strict_1.default.equal(inputs("search", 1).length, 2);
    strict_1.default.deepEqual(inputs("search", 2), []);
    strict_1.default.deepEqual(inputs("search", 3), []);
    strict_1.default.deepEqual([inputs("unique"), inputs("unique", 1)], [["'twice'"], ["'twice'", "'twice'"]]);
});
(0, node_test_1.test)("a shutdown with restart is answered, ends the process, and what starts then is fresh", () => {
    strict_1.default.deepEqual(reply("restart"), { status: "ok", restart: true });
    strict_1.default.deepEqual([value("fresh"), reply("fresh").execution_count], ["'undefined'", 1]);
    strict_1.default.equal(reply("unknown").status, "error");
    strict_1.default.deepEqual(reply("shutdown"), { status: "ok", restart: false });
});
//# sourceMappingURL=messages.test.js.map