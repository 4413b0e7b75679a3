import { types } from "node:util";
import { bundleOf, checkedBundle, displayed, type Bundle } from "./bundle";
import { newCell, waitIn, type Cell, type CellScope, type Clock } from "./cell";
import { COMM_DECLARATIONS, type CommMaker, type Comms } from "./comm";
import { errorContent, KeyboardInterrupt, tidied, type Tracer } from "./errors";
import { createHistory, type HistoryQuery } from "./history";
import { INPUT_DECLARATIONS, type Input } from "./input";
import type { Language, Outcome, Prelude } from "./language";
import type { DisplayOptions, Output } from "./output";
import { PROTOCOL_VERSION, type Content, type Message } from "./wire";

/** Where the library finds the kernel: `globalThis[SHOW]?.(bundle, options)`. */
export const SHOW = Symbol.for("saelab.display");

/** Shows a bundle at once in the cell whose code calls it. */
export type Show = (bundle: Bundle, options?: DisplayOptions) => void;

/** What a request is answered with; a message that is no request is not answered. */
export type Handler = (request: Message) => Content | void | Promise<Content | void>;

export interface Kernel {
  /** Message type → handler, for shell and control. */
  handlers: Record<string, Handler>;
  /** Stops the running cell: cooperating loops at their next step, the rest at once. */
  interrupt(): void;
  /** Printed text, with stacks in the author's terms. */
  tidy(text: string): string;
  /** Reports an error that no code waited for, in the cell it came from. */
  report(what: string, error: unknown): void;
}

const GRACE = 5_000; // ms an interrupted loop gets to reach its next look at the flag; a second interrupt does not wait
const COOPERATES = 10_000; // ms since its last look within which a loop counts as one that looks

/** Declared for cells as if an earlier cell had; a cell may redeclare it. */
const DECLARATIONS = `\
/**
 * Shows a value: an object with a method at \`Symbol.for("Jupyter.display")\` by its own bundle, an object from MIME types to data as that
 * bundle, anything else as text. With \`display_id\` the display can be updated later: \`display(value, { display_id, update: true })\`.
 */
declare function display(value: unknown, options?: {
  display_id?: string; update?: boolean; metadata?: Record<string, unknown>;
}): Promise<void>;
/** Takes away what this cell has shown so far; with wait: true, only when something new comes. */
declare function clearOutput(options?: { wait?: boolean }): void;
`;

/** What cells find declared: display, clearOutput, input, comms. */
export function cellPrelude({ scope, output, input, comms }: { scope: CellScope; output: Output; input: Input["input"]; comms: CommMaker }): Prelude {
  const display = (value: unknown, options?: DisplayOptions): Promise<void> => {
    const cell = scope.current();
    const made = displayed(value);
    if (!(made instanceof Promise)) {
      if (cell) output.display(cell, made, options);
      return Promise.resolve();
    }
    const shown = made.then((bundle) => {
      if (cell) output.display(cell, bundle, options);
    });
    cell?.pending.add(shown.catch(() => {}));
    return shown.then(() => {}); // a promise of its own: if nobody waits for it and it fails, that is reported
  };
  const clearOutput = ({ wait = false }: { wait?: boolean } = {}): void => {
    const cell = scope.current();
    if (cell) output.clear(cell, wait);
  };
  return {
    declarations: DECLARATIONS + INPUT_DECLARATIONS + COMM_DECLARATIONS,
    values: { display, clearOutput, input, comms: { open: comms.open, register: comms.register } },
  };
}

/** The hook by which the library shows things by itself, progress for one. */
export const showHook = ({ scope, output }: { scope: CellScope; output: Output }): Show => (bundle, options) => {
  const cell = scope.current();
  if (cell) output.display(cell, checkedBundle(bundle), options);
};

/** Jupyter counts code points, JavaScript UTF-16 units. */
const toUnits = (text: string, points: number): number => [...text].slice(0, points).join("").length;
const toPoints = (text: string, units: number): number => [...text.slice(0, units)].length;

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** The protocol's language_info and the rest of kernel_info_reply. */
export const kernelInfo = ({ version, typescript }: { version: string; typescript: string }): Content => ({
  status: "ok",
  protocol_version: PROTOCOL_VERSION,
  implementation: "saelab",
  implementation_version: version,
  language_info: {
    name: "typescript",
    version: typescript,
    mimetype: "text/typescript",
    file_extension: ".ts",
    pygments_lexer: "typescript",
    // JupyterLab reads mode, the classic notebook name and typescript.
    codemirror_mode: { mode: "typescript", name: "javascript", typescript: true },
    nbconvert_exporter: "script",
  },
  banner: `saelab ${version}: TypeScript ${typescript}, Node ${process.version}`,
  debugger: false,
  help_links: [
    { text: "TypeScript", url: "https://www.typescriptlang.org/docs/" },
    { text: "Node.js", url: "https://nodejs.org/api/" },
  ],
  supported_features: [],
});

/**
 * What the kernel does with each request, apart from sockets: runs cells, keeps count, shows values and errors.
 * @param publish sends one iopub message because of a cell
 * @param interrupts told when a cell is interrupted and when it has ended
 * @param warn told of errors that belong to no cell
 */
export function createKernel({ language, output, scope, clock, publish, interrupts, input, comms, warn }: {
  language: Language;
  output: Output;
  scope: CellScope;
  clock: Clock;
  publish: (cell: Cell, type: string, content: Content) => void;
  interrupts: { raise(): void; lower(): void };
  input: Input;
  comms: Comms;
  warn: (message: string) => void;
}): Kernel {
  const cells = new Map<string, { label: string; source: string }>();
  const tracer: Tracer = { ...language.tracer, cell: (file) => cells.get(file) };
  const history = createHistory();
  let count = 0; // Jupyter's execution count
  let serial = 0; // of executions, counted or not
  let running: { cell: Cell; given: boolean } | undefined;
  let latest: Cell | undefined;

  /** A promise as the last value is awaited, and what shows itself does so; a cell may be interrupted meanwhile. */
  async function shown(outcome: Outcome, cell: Cell): Promise<Outcome & { bundle?: Bundle }> {
    if (!outcome.ok) return outcome;
    try {
      const value = types.isPromise(outcome.value) ? await waitIn(cell, outcome.value) : outcome.value;
      if (value === undefined) return outcome;
      const bundle = await waitIn(cell, bundleOf(value));
      // Node shows an error with all the frames of its stack.
      if (types.isNativeError(value) && typeof bundle["text/plain"] === "string") bundle["text/plain"] = tidied(bundle["text/plain"], tracer);
      return { ok: true, value, bundle };
    } catch (error) {
      return { ok: false, error };
    }
  }

  /** Cells no code of which can run any more need not be explained any more. */
  function forget(): void {
    if (latest && !language.keeps(latest.name)) cells.delete(latest.name);
  }

  function begin(request: Message, source: string, label: string): Cell {
    const cell = newCell({ name: `cell-${++serial}.ts`, label, source, request });
    cells.set(cell.name, { label, source });
    return cell;
  }

  async function expressions(cell: Cell): Promise<Content> {
    const asked = (cell.request?.content.user_expressions ?? {}) as Record<string, string>;
    const out: Content = {};
    for (const [name, source] of Object.entries(asked)) {
      const inner = begin(cell.request!, text(source), `user expression ${name}`);
      const outcome = await shown(await language.evaluate(inner), cell);
      out[name] = outcome.ok
        ? { status: "ok", data: outcome.bundle ?? { "text/plain": "undefined" }, metadata: {} }
        : { status: "error", ...errorContent(outcome.error, tracer, inner) };
      cells.delete(inner.name);
    }
    return out;
  }

  async function execute(request: Message): Promise<Content> {
    const { silent = false, store_history = !silent } = request.content as { silent?: boolean; store_history?: boolean };
    const source = text(request.content.code);
    const counted = !silent && store_history;
    if (counted) history.add(++count, source);
    forget();
    const cell = begin(request, source, counted ? `cell ${count}` : "cell (uncounted)");
    if (!silent) publish(cell, "execute_input", { code: source, execution_count: count });
    running = { cell, given: false };
    latest = cell;
    let expressed: Content = {};
    const outcome = await scope.run(cell, async () => {
      const done = await shown(await language.run(cell), cell);
      await waitIn(cell, Promise.all(cell.pending)).catch(() => {}); // displays in the making belong to the cell
      if (done.ok) expressed = await expressions(cell);
      return done;
    });
    running = undefined;
    interrupts.lower();
    output.end(cell);
    if (!outcome.ok) {
      const error = errorContent(outcome.error, tracer, cell);
      publish(cell, "error", { ...error });
      return { status: "error", execution_count: count, ...error };
    }
    if (outcome.bundle) {
      if (counted) history.result(count, String(outcome.bundle["text/plain"] ?? ""));
      if (!silent) publish(cell, "execute_result", { execution_count: count, data: outcome.bundle, metadata: {} });
    }
    return { status: "ok", execution_count: count, user_expressions: expressed, payload: [] };
  }

  function stopTimers(cell: Cell): void {
    for (const timer of cell.timers) clearTimeout(timer as NodeJS.Timeout);
    cell.timers.clear();
  }

  function interrupt(): void {
    const cell = running?.cell ?? latest;
    if (!cell) return;
    const again = cell.interrupted;
    cell.interrupted = true;
    interrupts.raise();
    if (!running) return stopTimers(cell); // what the cell left behind: loops that look, and its timers
    if (running.given) return;
    const mine = running;
    const stop = (): void => {
      if (running !== mine || mine.given) return;
      mine.given = true;
      stopTimers(cell);
      const reason = new KeyboardInterrupt("the cell was interrupted");
      for (const reject of [...cell.waits]) reject(reason);
    };
    if (again || clock.now() - cell.polledAt > COOPERATES) {
      cell.sparedUntil = -Infinity;
      stop();
    } else {
      cell.sparedUntil = clock.now() + GRACE;
      clock.after(GRACE, stop);
    }
  }

  /** What a comm's callback prints and throws belongs to the message that called it. */
  async function called(request: Message, act: (message: Message) => unknown): Promise<void> {
    const cell = begin(request, "", "comm");
    try {
      await scope.run(cell, () => act(request));
    } catch (error) {
      publish(cell, "error", { ...errorContent(error, tracer, cell) });
    }
    output.end(cell);
    cells.delete(cell.name);
  }

  const withUnits = ({ content }: Message): { code: string; offset: number } => {
    const code = text(content.code);
    return { code, offset: toUnits(code, Number(content.cursor_pos ?? code.length)) };
  };

  return {
    interrupt,
    tidy: (text) => tidied(text, tracer),
    report(what, error) {
      const cell = scope.current();
      // The rest of an interrupted cell ends so; the cell has said it.
      if (cell?.interrupted && error instanceof KeyboardInterrupt) return;
      const lines = errorContent(error, tracer, cell ?? { label: "", source: "" }).traceback.join("\n");
      if (cell) output.stream(cell, "stderr", `${what}\n${lines}\n`);
      else warn(`${what} ${lines}`);
    },
    handlers: {
      execute_request: execute,
      is_complete_request({ content }) {
        const { status, indent } = language.isComplete(text(content.code));
        return status === "incomplete" ? { status, indent } : { status };
      },
      async complete_request(request) {
        const { code, offset } = withUnits(request);
        const { proposals, start, end } = await language.complete(code, offset);
        const [cursor_start, cursor_end] = [toPoints(code, start), toPoints(code, end)];
        return {
          status: "ok", matches: proposals.map((each) => each.text), cursor_start, cursor_end,
          metadata: {
            _jupyter_types_experimental: proposals.map(({ text: label, kind, type, documentation }) => ({
              start: cursor_start, end: cursor_end, text: label, type: kind, ...(type ? { signature: type } : {}), ...(documentation ? { documentation } : {}),
            })),
          },
        };
      },
      async inspect_request(request) {
        const { code, offset } = withUnits(request);
        const found = await language.inspect(code, offset);
        if (!found) return { status: "ok", found: false, data: {}, metadata: {} };
        const { signature, documentation } = found;
        return {
          status: "ok", found: true, metadata: {},
          data: {
            "text/plain": [signature, documentation].filter(Boolean).join("\n\n"),
            "text/markdown": [`\`\`\`typescript\n${signature}\n\`\`\``, documentation.replace(/\n+@/g, "\n\n@")].filter(Boolean).join("\n\n"),
          },
        };
      },
      history_request: ({ content }) => history.find(content as HistoryQuery),
      comm_info_request: ({ content }) => comms.list(content.target_name),
      comm_open: (message) => called(message, comms.opened),
      comm_msg: (message) => called(message, comms.received),
      comm_close: (message) => called(message, comms.closed),
      input_reply: (message) => input.replied(message),
    },
  };
}
