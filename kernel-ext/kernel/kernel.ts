import { types } from "node:util";
import { bundleOf, checkedBundle, displayed, type Bundle } from "./bundle";
import type { Cell, CellScope, Clock } from "./cell";
import { errorContent, KeyboardInterrupt, type Tracer } from "./errors";
import type { Language, Outcome, Prelude } from "./language";
import type { DisplayOptions, Output } from "./output";
import { PROTOCOL_VERSION, type Content, type Message } from "./wire";

/** Where the library finds the kernel: `globalThis[SHOW]?.(bundle, options)`. */
export const SHOW = Symbol.for("saelab.display");

/** Shows a bundle at once in the cell whose code calls it. */
export type Show = (bundle: Bundle, options?: DisplayOptions) => void;

/** What a request is answered with. */
export type Handler = (request: Message) => Content | Promise<Content>;

export interface Kernel {
  /** Message type → handler, for shell and control. */
  handlers: Record<string, Handler>;
  /** Stops the running cell: cooperating loops at their next step, the rest at once. */
  interrupt(): void;
  /** Reports an error that no code waited for, in the cell it came from. */
  report(what: string, error: unknown): void;
}

const GRACE = 5_000; // ms an interrupted loop gets to reach its next look at the flag; a second interrupt does not wait
const COOPERATES = 10_000; // ms since its last look within which a loop counts as one that looks

/** Declared for cells as if an earlier cell had; a cell may redeclare it. */
const DECLARATIONS = `\
/**
 * Shows a value: an object with [Symbol.for("Jupyter.display")]() by its own bundle, an object from MIME types to data as that bundle,
 * anything else as text. With display_id the display can be updated later: display(value, { display_id, update: true }).
 */
declare function display(value: unknown, options?: {
  display_id?: string; update?: boolean; metadata?: Record<string, unknown>;
}): Promise<void>;
`;

/** What cells find declared: display(value, options?). */
export function cellPrelude({ scope, output }: { scope: CellScope; output: Output }): Prelude {
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
  return { declarations: DECLARATIONS, values: { display } };
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

/**
 * What the kernel does with each request, apart from sockets: runs cells, keeps count, shows values and errors.
 * @param publish sends one iopub message because of a cell
 * @param version this package's
 * @param exit ends the process once the reply is out
 * @param warn told of errors that belong to no cell
 */
export function createKernel({ language, output, scope, clock, publish, version, exit, warn }: {
  language: Language;
  output: Output;
  scope: CellScope;
  clock: Clock;
  publish: (cell: Cell, type: string, content: Content) => void;
  version: string;
  exit: () => void;
  warn: (message: string) => void;
}): Kernel {
  const cells = new Map<string, { label: string; source: string }>();
  const tracer: Tracer = { ...language.tracer, cell: (file) => cells.get(file) };
  let count = 0; // Jupyter's execution count
  let serial = 0; // of executions, counted or not
  let running: { cell: Cell; giveUp: () => void; given: boolean } | undefined;
  let latest: Cell | undefined;

  /** A promise as the last value is awaited, and what shows itself does so; a cell may be interrupted meanwhile. */
  async function shown(outcome: Outcome, cancelled: Promise<never>): Promise<Outcome & { bundle?: Bundle }> {
    if (!outcome.ok) return outcome;
    try {
      const value = types.isPromise(outcome.value) ? await Promise.race([outcome.value, cancelled]) : outcome.value;
      if (value === undefined) return outcome;
      return { ok: true, value, bundle: await Promise.race([bundleOf(value), cancelled]) };
    } catch (error) {
      return { ok: false, error };
    }
  }

  async function execute(request: Message): Promise<Content> {
    const { silent = false, store_history = !silent } = request.content as { silent?: boolean; store_history?: boolean };
    const source = text(request.content.code);
    if (!silent && store_history) count++;
    const cell: Cell = {
      name: `cell-${++serial}.ts`,
      label: `cell ${silent || !store_history ? "(uncounted)" : count}`,
      source, request, interrupted: false, polledAt: -Infinity, pending: new Set(),
    };
    cells.set(cell.name, { label: cell.label, source });
    if (!silent) publish(cell, "execute_input", { code: source, execution_count: count });

    let giveUp = (): void => {};
    const cancelled = new Promise<never>((_, reject) => {
      giveUp = () => {
        language.cancel();
        reject(new KeyboardInterrupt("the cell was interrupted"));
      };
    });
    cancelled.catch(() => {});
    const mine = { cell, giveUp, given: false };
    running = mine;
    latest = cell;
    const outcome = await scope.run(cell, async () => {
      const done = await shown(await language.run(cell), cancelled);
      await Promise.race([Promise.all(cell.pending), cancelled]).catch(() => {}); // displays in the making belong to the cell
      return done;
    });
    running = undefined;
    output.flush(cell);
    if (!outcome.ok) {
      const error = errorContent(outcome.error, tracer, cell);
      publish(cell, "error", { ...error });
      return { status: "error", execution_count: count, ...error };
    }
    if (outcome.bundle && !silent) {
      publish(cell, "execute_result", { execution_count: count, data: outcome.bundle, metadata: {} });
    }
    return { status: "ok", execution_count: count, user_expressions: {}, payload: [] };
  }

  function interrupt(): void {
    const cell = running?.cell ?? latest;
    if (!cell) return;
    const again = cell.interrupted;
    cell.interrupted = true;
    if (!running || running.given) return;
    const mine = running;
    const stop = (): void => {
      if (running !== mine || mine.given) return;
      mine.given = true;
      mine.giveUp();
    };
    if (again || clock.now() - cell.polledAt > COOPERATES) stop();
    else clock.after(GRACE, stop);
  }

  return {
    interrupt,
    report(what, error) {
      const cell = scope.current();
      const lines = errorContent(error, tracer, cell ?? { label: "", source: "" }).traceback.join("\n");
      if (cell) output.stream(cell, "stderr", `${what}\n${lines}\n`);
      else warn(`${what} ${lines}`);
    },
    handlers: {
      execute_request: execute,
      kernel_info_request: () => ({
        status: "ok",
        protocol_version: PROTOCOL_VERSION,
        implementation: "saelab",
        implementation_version: version,
        language_info: {
          name: "typescript",
          version: language.version,
          mimetype: "text/typescript",
          file_extension: ".ts",
          pygments_lexer: "typescript",
          // JupyterLab reads mode, the classic notebook name and typescript.
          codemirror_mode: { mode: "typescript", name: "javascript", typescript: true },
          nbconvert_exporter: "script",
        },
        banner: `saelab ${version}: TypeScript ${language.version} by tslab, Node ${process.version}`,
        help_links: [],
        supported_features: [],
      }),
      is_complete_request({ content }) {
        const { complete, indent } = language.isComplete(text(content.code));
        return complete ? { status: "complete" } : { status: "incomplete", indent };
      },
      complete_request({ content }) {
        const code = text(content.code);
        const { matches, start, end } = language.complete(code, toUnits(code, Number(content.cursor_pos ?? code.length)));
        return {
          status: "ok", matches, cursor_start: toPoints(code, start), cursor_end: toPoints(code, end), metadata: {},
        };
      },
      inspect_request({ content }) {
        const code = text(content.code);
        const found = language.inspect(code, toUnits(code, Number(content.cursor_pos ?? code.length)));
        return { status: "ok", found: found !== undefined, data: found ? { "text/plain": found } : {}, metadata: {} };
      },
      history_request: () => ({ status: "ok", history: [] }),
      comm_info_request: () => ({ status: "ok", comms: {} }),
      interrupt_request() {
        interrupt();
        return { status: "ok" };
      },
      shutdown_request({ content }) {
        language.close();
        exit();
        return { status: "ok", restart: content.restart === true };
      },
    },
  };
}
