import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { API, Diagnostic as TypeDiagnostic, Project, Snapshot } from "typescript/unstable/async" with { "resolution-mode": "import" };
import type { Diagnostic } from "./errors";
import { calledAt, described, details, EVERYTHING, KEYWORDS, kindOf, KINDS, libraryTypes, resolved } from "./hints";
import { findPackage, packageName, typePaths, type Packages } from "./packages";
import { placeOf, type Outline } from "./parse";

type Unstable = typeof import("typescript/unstable/async", { with: { "resolution-mode": "import" } });

/** A cell that was checked and may be kept. */
export interface Checked {
  diagnostics: Diagnostic[];
  /** Later cells may use what it declares. */
  keep(): void;
}

export interface Proposal {
  text: string;
  kind: string; // "function", "property" …
  type?: string; // its type, as TypeScript writes it
  documentation?: string;
}

/** All that the kernel asks of TypeScript's checker. */
export interface Types {
  /** Takes a cell's declarations unseen. */
  declare(source: string, outline: Outline): void;
  /** @param also local files that it imports and that are to be checked with it */
  check(source: string, outline: Outline, also?: string[]): Promise<Checked>;
  /** What fits at the offset, and where the word under it begins and ends. */
  complete(source: string, offset: number, outline: Outline): Promise<{ proposals: Proposal[]; start: number; end: number }>;
  /** Type and documentation of the name at the offset. */
  inspect(source: string, offset: number, outline: Outline): Promise<{ signature: string; documentation: string } | undefined>;
  /** Local files that changed on disk. */
  changed(files: string[]): void;
  close(): void;
}

const WORD = /[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/gu;
const PREFIX = ".saelab-"; // files beside the notebook, in memory only: imports are resolved from there
const SLOTS = { ts: 64, tsx: 4 }; // at first; a new number of them is a new structure
const DETAILED = 25; // proposals that are shown with type and documentation: each costs the server a question
const OURS = "$saelab_"; // names of our own in a slot

/**
 * A slot is a file of the project that holds one cell. The project always has the same slots; each imports the hub alone, and the
 * hub, which passes on what cells declare, imports all slots. So the program keeps its structure from cell to cell, and TypeScript
 * reuses it: a cell that uses TensorFlow.js is checked in 7 ms; one that changes the structure takes 200.
 */
interface Slot {
  name: string; // "s3", without ending
  file: string;
  dialect: "ts" | "tsx";
  text: string;
  imports: string; // specifiers of the cell's own imports: a slot that had the same ones needs no new structure
  uses: Set<Slot>; // slots whose names it uses
  gives: string[]; // names it declares
  names: Set<string>; // of these, those that no later cell has declared again
}

interface Name {
  slot: Slot;
  changeable: boolean; // let or var: later cells may assign to it
}

/** Specifiers a text imports, roughly: only speed depends on it. */
const specifiers = (source: string): string =>
  [...source.matchAll(/\b(?:from|import|require)\s*\(?\s*["']([^"']+)["']/g)].map((match) => match[1]).join("\n");

/**
 * TypeScript 7's native server, by the part of its API that is marked unstable: this file and hints.ts are all that touches it.
 * @param root the notebook's folder
 * @param prelude declarations (.d.ts text) of what the kernel gives to cells
 * @param given names the kernel gives to cells: completion proposes them
 * @param lent packages whose types are found outside of the folder
 * @param warn told when the server had to be started again
 */
export function createTypes({ root, prelude, given, lent, packageRoot, warn }: {
  root: string; prelude: string; given: () => readonly string[]; lent: Packages; packageRoot: string; warn: (message: string) => void;
}): Types {
  const fileNamed = (name: string): string => join(root, PREFIX + name);
  const config = fileNamed("tsconfig.json");
  const ours = fileNamed("");
  const files = new Map<string, string>();
  const live = new Map<string, Name>();
  const slots: Slot[] = [];
  let touched = new Set<string>(); // files whose text the server has to read again

  const put = (file: string, text: string): void => {
    if (files.get(file) === text) return;
    files.set(file, text);
    touched.add(file);
  };

  const addSlots = (dialect: Slot["dialect"], count: number): void => {
    for (let i = 0; i < count; i++) {
      const name = `${dialect === "ts" ? "s" : "t"}${slots.filter((each) => each.dialect === dialect).length}`;
      slots.push({ name, file: fileNamed(`${name}.${dialect}`), dialect, text: "", imports: "", uses: new Set(), gives: [], names: new Set() });
    }
    const nodeTypes = findPackage("@types/node", root) ?? findPackage("@types/node", packageRoot);
    put(fileNamed("prelude.d.ts"), prelude);
    put(config, JSON.stringify({
      compilerOptions: {
        target: "esnext", module: "preserve", moduleDetection: "force", lib: ["esnext"],
        strict: true, noImplicitAny: false, // a cell explores, it is not shipped: function f(x) {} is fine
        noEmit: true, skipLibCheck: true, esModuleInterop: true, resolveJsonModule: true, allowImportingTsExtensions: true, allowJs: true, checkJs: false,
        jsx: "preserve", types: ["node"], typeRoots: nodeTypes ? [dirname(nodeTypes)] : [], paths: typePaths(lent),
      },
      files: [...["prelude.d.ts", "hub.ts", "ask.ts", "ask.tsx"].map(fileNamed), ...slots.map(({ file }) => file)],
    }));
    for (const slot of slots) put(slot.file, slot.text ? slot.text : compose("", new Map(), []));
    putHub();
    for (const ending of ["ts", "tsx"]) put(fileNamed(`ask.${ending}`), compose("", new Map(), []));
  };

  /** In the hub a name says which slot it is from: it does not change its meaning when a later cell declares it again. */
  const hubName = (slot: Slot, name: string): string => `${OURS}${slot.name}_${name}`;

  const putHub = (): void => put(fileNamed("hub.ts"), slots.map((slot) =>
    `export{${slot.gives.map((name) => `${name} as ${hubName(slot, name)}`).join(",")}}from"./${PREFIX}${slot.name}";`).join("\n"));

  /** A cell's text, and behind it what it takes from the hub and gives to it; positions stay as they are. */
  function compose(source: string, taken: Map<Slot, string[]>, given: string[]): string {
    const imports: string[] = [];
    const lets: string[] = [];
    for (const [slot, names] of taken) {
      for (const name of names) {
        // What is imported cannot be assigned to; a declared variable of the same type can.
        if (live.get(name)!.changeable) lets.push(`declare let ${name}:${OURS}hub["${hubName(slot, name)}"];`);
        else imports.push(`${hubName(slot, name)} as ${name}`);
      }
    }
    return `${source}\n;${lets.join("")}import{${imports.join(",")}}from"./${PREFIX}hub";type ${OURS}hub=typeof import("./${PREFIX}hub");export{${given.join(",")}};`;
  }

  /** Which live names a text uses that it does not declare itself. */
  function taken(source: string, outline: Outline, everything = false): Map<Slot, string[]> {
    const own = new Set([...outline.values, ...outline.types]);
    const words = everything ? live.keys() : new Set(source.match(WORD));
    const out = new Map<Slot, string[]>();
    for (const word of words) {
      const name = live.get(word);
      if (!name || own.has(word)) continue;
      const list = out.get(name.slot);
      if (list) list.push(word);
      else out.set(name.slot, [word]);
    }
    return out;
  }

  /** A slot that no live name needs, directly or through the types of others; one with the same imports if there is one. */
  function freeSlot(dialect: Slot["dialect"], imports: string): Slot {
    const needed = new Set<Slot>();
    const need = (slot: Slot): void => {
      if (needed.has(slot)) return;
      needed.add(slot);
      for (const each of slot.uses) need(each);
    };
    for (const slot of slots) if (slot.names.size > 0) need(slot);
    const free = slots.filter((slot) => slot.dialect === dialect && !needed.has(slot));
    const found = free.find((slot) => slot.imports === imports) ?? free.find((slot) => slot.imports === "") ?? free[0];
    if (found) return found;
    addSlots(dialect, slots.filter((slot) => slot.dialect === dialect).length);
    return freeSlot(dialect, imports);
  }

  let server: API | undefined;
  let snapshot: Snapshot | undefined;
  let dead: Promise<never> = new Promise(() => {});
  let closed = false;

  async function open(): Promise<void> {
    const { API } = (await import("typescript/unstable/async")) as Unstable;
    server = new API({
      cwd: root,
      fs: {
        readFile: (file) => files.get(file),
        fileExists: (file) => (file.startsWith(ours) ? files.has(file) : undefined),
        realpath: (path) => (path.startsWith(ours) ? path : undefined),
      },
    });
    dead = death(server);
    dead.catch(() => {});
    touched = new Set();
    snapshot = await Promise.race([server.updateSnapshot({ openProjects: [config] }), dead]);
  }

  /** The project as it is now. */
  async function project(): Promise<Project> {
    // The server reuses a program of which one file changed; where two did, it makes it anew.
    const changed = [...touched];
    touched = new Set();
    for (const group of changed.length <= 3 ? changed.map((file) => [file]) : [changed]) {
      const next = await server!.updateSnapshot({ fileChanges: { changed: group } });
      void snapshot!.dispose();
      snapshot = next;
    }
    return snapshot!.getProjects()[0];
  }

  let turn: Promise<unknown> = Promise.resolve();

  /**
   * One question after the other; a server that died is started again, once.
   * @param prepare puts the files that the question is about; others may be put before its turn comes
   */
  function ask<T>(question: (project: Project) => Promise<T>, prepare: () => void = () => {}): Promise<T | undefined> {
    const answer = turn.then(async () => {
      prepare();
      for (let attempt = 0; attempt < 2 && !closed; attempt++) {
        try {
          if (!snapshot) await open();
          return await Promise.race([project().then(question), dead]);
        } catch (error) {
          if (closed) break;
          if (!(error instanceof ServerError)) throw error;
          warn(`the type checker stopped (${error.message})${attempt === 0 ? "; it is started again" : "; the cell goes unchecked"}`);
          void server?.close().catch(() => {});
          server = snapshot = undefined;
        }
      }
      return undefined;
    });
    turn = answer.catch(() => {});
    return answer;
  }

  const file = (dialect: Outline["dialect"]): string => fileNamed(`ask.${dialect}`);
  const putAsk = (source: string, outline: Outline): void => put(file(outline.dialect), compose(source, taken(source, outline, true), []));

  /** Names that may stand alone at a place: the text's own and earlier cells' that are in scope there, globals, keywords. */
  async function freeNames(project: Project, document: string, source: string, start: number, prefix: string): Promise<Proposal[]> {
    const fits = (name: string): boolean => name.startsWith(prefix) && !name.startsWith(OURS);
    const words = [...source.matchAll(WORD)].filter(({ index }) => index !== start).map(([word]) => word);
    const known = [...new Set([...words, ...live.keys(), ...given()])].filter(fits).sort();
    const globals = Object.getOwnPropertyNames(globalThis).filter((name) => fits(name) && !known.includes(name)).sort();
    const few = known.length <= 2 * DETAILED;
    const found = await Promise.all(known.map(async (text): Promise<Proposal | undefined> => {
      if (!few) return { text, kind: live.has(text) ? "variable" : "text" };
      const symbol = await project.checker.resolveName(text, EVERYTHING, { document, position: start });
      if (!symbol) return undefined;
      return { text, kind: kindOf(await resolved(project.checker, symbol)), ...(known.length <= DETAILED ? await details(project, symbol) : {}) };
    }));
    return [
      ...found.filter((each) => each !== undefined),
      ...globals.map((text) => ({ text, kind: typeof (globalThis as Record<string, unknown>)[text] === "function" ? "function" : "variable" })),
      ...[...libraryTypes()].filter(([name]) => fits(name) && !known.includes(name) && !globals.includes(name)).map(([text, kind]) => ({ text, kind })),
      ...KEYWORDS.filter((word) => fits(word) && prefix !== "").map((text) => ({ text, kind: "keyword" })),
    ];
  }

  const installHint = (text: string): string => {
    const specifier = /^Cannot find module '([^']+)'/.exec(text)?.[1];
    if (!specifier || /^[./]/.test(specifier)) return text;
    return `${text}\nIf it is a package: npm install ${packageName(specifier) ?? specifier} (in ${root})`;
  };

  const diagnosticOf = (source: string, syntax: boolean) => ({ pos, text, code, messageChain }: TypeDiagnostic): Diagnostic => {
    const chain = (links: readonly TypeDiagnostic[] | undefined, depth: number): string[] =>
      (links ?? []).flatMap((link) => [`${"  ".repeat(depth)}${link.text}`, ...chain(link.messageChain, depth + 1)]);
    return {
      start: placeOf(source, Math.min(pos, source.length)), code, syntax,
      messageText: [code === 2307 ? installHint(text) : text, ...chain(messageChain, 1)].join("\n"),
    };
  };

  /** Puts a cell into a slot. */
  function place(source: string, outline: Outline): { slot: Slot; keep(): void } {
    const imports = specifiers(source);
    const slot = freeSlot(outline.dialect, imports);
    const uses = taken(source, outline);
    const names = [...outline.values, ...outline.types];
    slot.text = compose(source, uses, names.filter((name) => !outline.exported.has(name)));
    slot.imports = imports;
    slot.uses = new Set(uses.keys());
    put(slot.file, slot.text);
    if (slot.gives.length > 0) {
      slot.gives = [];
      putHub();
    }
    return {
      slot,
      keep() {
        for (const name of names) {
          live.get(name)?.slot.names.delete(name);
          live.set(name, { slot, changeable: outline.changeable.has(name) });
          slot.names.add(name);
        }
        slot.gives = names;
        if (names.length === 0) return;
        putHub();
        void ask(async () => {}); // while the cell runs
      },
    };
  }

  addSlots("ts", SLOTS.ts);
  addSlots("tsx", SLOTS.tsx);
  void ask(async () => {}); // opens the project in the background

  return {
    declare: (source, outline) => place(source, outline).keep(),

    async check(source, outline, also = []) {
      const { slot, keep } = place(source, outline);
      const diagnostics = await ask(async ({ program }) => {
        const found = async (path: string, text: () => string, fileName?: string): Promise<Diagnostic[]> => {
          const [syntactic, semantic] = await Promise.all([program.getSyntacticDiagnostics(path), program.getSemanticDiagnostics(path)]);
          const syntax = syntactic.length > 0;
          return (syntax ? syntactic : semantic).map((each) => ({ ...diagnosticOf(text(), syntax)(each), ...(fileName ? { fileName } : {}) }));
        };
        const lists = await Promise.all([
          found(slot.file, () => source), ...also.map((path) => found(path, () => readFileSync(path, "utf8"), relative(root, path))),
        ]);
        return lists.flat();
      });
      return { diagnostics: diagnostics ?? [], keep };
    },

    async complete(source, offset, outline) {
      const start = offset - (/[\p{ID_Continue}$\u200c\u200d]*$/u.exec(source.slice(0, offset))?.[0].length ?? 0);
      const prefix = source.slice(start, offset);
      const at = file(outline.dialect);
      const proposals = await ask(async (project) => {
        const { checker } = project;
        // What stands in brackets, as a symbol's property does, is no word behind a dot.
        const fits = ({ name, insertText = "" }: { name: string; insertText?: string }): boolean =>
          name.startsWith(prefix) && !name.startsWith(OURS) && !name.startsWith("__") && !/^(\?\.)?\[/.test(insertText);
        let info;
        try {
          info = await checker.getCompletionsAtPosition(at, offset);
        } catch (error) {
          // Where a free name may stand, the server wants to propose imports and cannot in this version.
          if (!String(error).includes("auto imports")) throw error;
          return freeNames(project, at, source, start, prefix);
        }
        let entries = (info?.entries ?? []).filter(fits);
        if (entries.length > 0 && entries.length <= DETAILED) {
          entries = ((await checker.getCompletionsAtPosition(at, offset, { includeSymbol: true }))?.entries ?? []).filter(fits);
        }
        entries.sort((a, b) => (a.sortText ?? "").localeCompare(b.sortText ?? "") || (a.name < b.name ? -1 : 1));
        return Promise.all(entries.map(async ({ name, kind: number, insertText, symbol }): Promise<Proposal> => {
          const text = insertText && !/^[?[]/.test(insertText) ? insertText.replace(/\$0$/, "") : name;
          const kind = KINDS[number ?? 0] ?? "text";
          if (!symbol) return { text, kind };
          const more = await details(project, symbol);
          // `const matMul: typeof matMul_` is called like any function.
          return { text, kind: kind === "variable" && /^(<[^]*?>)?\(/.test(more.type ?? "") ? "function" : kind, ...more };
        }));
      }, () => putAsk(source, outline));
      return { proposals: proposals ?? [], start, end: offset };
    },

    async inspect(source, offset, outline) {
      const at = file(outline.dialect);
      const place = [offset, offset - 1].find((each) => each >= 0 && /[\p{ID_Continue}$]/u.test(source[each] ?? "")) ?? calledAt(source, offset);
      if (place === undefined) return undefined;
      return ask(async (project) => {
        const word = [...source.matchAll(WORD)].find(({ 0: text, index }) => place >= index && place < index + text.length)?.[0];
        const symbol = (await project.checker.getSymbolAtPosition(at, place)) ??
          // A type's name where a value is expected.
          (word ? await project.checker.resolveName(word, EVERYTHING, { document: at, position: place }) : undefined);
        return symbol ? described(project, symbol, (name) => live.get(name)?.changeable) : undefined;
      }, () => putAsk(source, outline));
    },

    changed: (paths) => paths.forEach((path) => touched.add(path)),

    close() {
      closed = true;
      childOf(server)?.kill("SIGKILL"); // it holds nothing; asked to end, it would complain
    },
  };
}

/** The server's process, which its client keeps to itself. */
interface Child {
  once(event: "exit", act: () => void): void;
  kill(signal: "SIGKILL"): void;
  stdin: {
    destroyed: boolean;
    write(chunk: unknown, ...rest: unknown[]): boolean; // encoding, callback
    on(event: "error", act: () => void): void;
  };
}

const childOf = (server: API | undefined): Child | undefined => (server as unknown as { client?: { process?: Child } } | undefined)?.client?.process;

/** The server is gone. */
class ServerError extends Error {}

/** Rejects when the server's process ends: its client alone would wait for ever. */
function death(server: API): Promise<never> {
  return new Promise((_, reject) => {
    // The client starts its process in a later turn.
    const look = setInterval(() => {
      const child = childOf(server);
      if (!child) return;
      clearInterval(look);
      child.once("exit", () => reject(new ServerError("its process ended")));
      // What the client still answers to a server that is gone would fail where nobody looks.
      const { stdin } = child;
      const write = stdin.write.bind(stdin);
      stdin.write = (chunk, ...rest) => {
        const done = rest.find((each): each is () => void => typeof each === "function");
        const encoding = rest.find((each) => typeof each === "string");
        if (!stdin.destroyed) return write(chunk, encoding, () => done?.());
        done?.();
        return true;
      };
      stdin.on("error", () => {});
    }, 10);
    look.unref();
  });
}
