import { readFileSync, realpathSync, statSync } from "node:fs";
import { builtinModules, createRequire } from "node:module";
import { dirname, extname, isAbsolute, join, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";
import type { Compiled } from "./compile";
import { packageName } from "./packages";

/** A module as import sees it: its names, "default" among them. */
export type Namespace = Record<string, unknown>;

export interface Modules {
  /** Loads a module for a file or cell; local source files are compiled, and compiled again after an edit. */
  load(specifier: string, attributes: Record<string, string>, from: string): Promise<Namespace>;
  /** Before a cell runs: local files are looked at again. Gives those that changed since they were loaded, and those that import them. */
  refresh(): string[];
  /** The files that paths a cell imports mean, those that are there. */
  local(paths: string[]): string[];
  require: NodeJS.Require;
}

/** An import that cannot be: what was looked for, from where, and what helps. */
export class ImportError extends Error {
  override name = "ImportError";
}

const SOURCES = [".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json"];
const TYPED: Record<string, string[]> = { ".js": [".ts", ".tsx"], ".jsx": [".tsx"], ".mjs": [".mts"], ".cjs": [".cts"] };

interface Local {
  file: string;
  stamp: string; // size and time of the file when it was read
  needs: Set<string>; // local files it imports
  exports: Namespace;
  ready: Promise<void>;
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
/** Size and time of a file: it is the same as long as they are. */
export const stampOf = (file: string): string => {
  const found = statSync(file, { throwIfNoEntry: false });
  return found ? `${found.size} ${found.mtimeMs}` : "";
};

/** A path as it is imported → the file that is meant: "./x" → x.ts, "./x.js" → x.ts where only that is there, a folder → its index. */
function localFile(path: string): string | undefined {
  const ending = extname(path);
  const candidates = [
    path, ...(TYPED[ending] ?? []).map((other) => path.slice(0, -ending.length) + other),
    ...SOURCES.map((other) => path + other), ...SOURCES.map((other) => join(path, `index${other}`)),
  ];
  return candidates.find(isFile);
}

const spaces = new WeakMap<object, Namespace>();

/** A CommonJS module's exports as a namespace, by TypeScript's esModuleInterop: `default` is the module itself unless it was an ES module once. */
export function namespaceOf(exports: unknown): Namespace {
  if ((typeof exports !== "object" && typeof exports !== "function") || exports === null) return { default: exports };
  if ((exports as Namespace).__esModule || (exports as Record<symbol, unknown>)[Symbol.toStringTag] === "Module") return exports as Namespace;
  let space = spaces.get(exports);
  if (!space) {
    space = Object.create(null) as Namespace;
    for (const key of Object.keys(exports)) {
      if (key !== "default") Object.defineProperty(space, key, { enumerable: true, configurable: true, get: () => (exports as Namespace)[key] });
    }
    space.default = exports;
    spaces.set(exports, space);
  }
  return space;
}

/** Node's reasons why require() cannot load what import() can. */
const ONLY_IMPORT = new Set(["ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE", "ERR_PACKAGE_PATH_NOT_EXPORTED", "ERR_REQUIRE_CYCLE_MODULE"]);

/** Node 20 says of import() from a script that it is experimental; that is no news for a notebook's reader. */
function quietly<T>(work: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return work();
  } finally {
    process.emitWarning = emitWarning;
  }
}

/**
 * Loads modules for cells. Packages come by require() where that works, so that cells, the library and packages share one instance
 * of each, and by import() where it does not. Local sources are compiled like cells.
 * @param root the notebook's folder
 * @param compile compiles a local file
 * @param run runs compiled code with what its parameters stand for
 */
export function createModules({ root, compile, run }: {
  root: string;
  compile: (source: string, file: string) => Promise<Compiled>;
  run: (compiled: Compiled, file: string, modules: Namespace[], exports: (getters: Record<string, () => unknown>) => void) => unknown;
}): Modules {
  const cache = new Map<string, Local>();
  const notebook = join(root, "notebook.ts");
  const require_ = createRequire(notebook);
  const importers = new Map<string, (specifier: string, options?: unknown) => Promise<Namespace>>();

  /** Node's own import(), as if that file had written it. */
  const importFrom = (from: string): ((specifier: string, options?: unknown) => Promise<Namespace>) => {
    let found = importers.get(from);
    if (!found) {
      found = new vm.Script("(specifier, options) => import(specifier, options)", {
        filename: from, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
      }).runInThisContext() as typeof found & {};
      importers.set(from, found!);
    }
    return found!;
  };

  async function loadPackage(specifier: string, attributes: Record<string, string>, from: string): Promise<Namespace> {
    const name = packageName(specifier) ?? specifier;
    try {
      return namespaceOf(createRequire(from)(specifier));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const absent = code === "MODULE_NOT_FOUND" && message.startsWith(`Cannot find module '${specifier}'`);
      if (!absent && !ONLY_IMPORT.has(code ?? "")) throw error;
      try {
        return await quietly(() => importFrom(from)(specifier, Object.keys(attributes).length > 0 ? { with: attributes } : undefined));
      } catch (other) {
        if (!/^ERR_(MODULE_NOT_FOUND|PACKAGE_PATH_NOT_EXPORTED)$/.test((other as NodeJS.ErrnoException).code ?? "") || !String((other as Error).message).includes(name)) throw other;
        throw new ImportError(
          absent
            ? `'${specifier}': expected the package ${name} in node_modules of ${root} or a folder above, found none. Install it: npm install ${name} (in ${root})`
            : `'${specifier}': expected the package ${name} to export it, it does not: ${(other as Error).message}`,
          { cause: other },
        );
      }
    }
  }

  /** Local files that are being loaded, with what they import: a cycle reads half-made exports, as in Node. */
  async function loadLocal(file: string, attributes: Record<string, string>, path: readonly string[]): Promise<Namespace> {
    const known = cache.get(file);
    if (known) {
      if (!path.includes(file)) await known.ready;
      return known.exports;
    }
    if (file.endsWith(".json") || attributes.type === "json") {
      let value: unknown;
      try {
        value = JSON.parse(readFileSync(file, "utf8"));
      } catch (cause) {
        throw new ImportError(`${file}: expected JSON, found ${(cause as Error).message}`, { cause });
      }
      return { ...(typeof value === "object" && !Array.isArray(value) ? value : {}), default: value };
    }
    if (!SOURCES.includes(extname(file))) throw new ImportError(`${file}: expected a source file (${SOURCES.join(" ")}), found ${extname(file) || "no ending"}`);
    const source = readFileSync(file, "utf8");
    if (/\.c?js$/.test(file) && !/^\s*(import|export)\b/m.test(source)) {
      delete require_.cache[realpathSync(file)];
      cache.set(file, { file, stamp: stampOf(file), needs: new Set(), exports: namespaceOf(require_(file)), ready: Promise.resolve() });
      return cache.get(file)!.exports;
    }
    const local: Local = { file, stamp: stampOf(file), needs: new Set(), exports: Object.create(null) as Namespace, ready: Promise.resolve() };
    cache.set(file, local);
    local.ready = (async () => {
      const compiled = await compile(source, file);
      const modules: Namespace[] = compiled.imports.map(() => ({}));
      // Files of a cycle see each other's names before either has run.
      for (const [i, each] of compiled.imports.entries()) modules[i] = await load(each.specifier, each.attributes, file, [...path, file]);
      await run(compiled, file, modules, (getters) => {
        for (const [name, get] of Object.entries(getters)) Object.defineProperty(local.exports, name, { get, enumerable: true, configurable: true });
      });
    })();
    local.ready.catch(() => cache.delete(file)); // what failed is tried again
    await local.ready;
    return local.exports;
  }

  async function load(specifier: string, attributes: Record<string, string>, from: string, path: readonly string[] = []): Promise<Namespace> {
    if (specifier.startsWith("node:") || builtinModules.includes(specifier)) return namespaceOf(require_(specifier));
    if (/^(https?|npm|jsr):/.test(specifier)) {
      throw new ImportError(`'${specifier}': expected a package or a file, found a web address. Nothing is fetched at run time: install the package, or save the file beside the notebook.`);
    }
    const place = specifier.startsWith("file:") ? fileURLToPath(specifier) : specifier;
    if (!/^\.{0,2}\//.test(place) && !isAbsolute(place) && place !== "." && place !== "..") return loadPackage(specifier, attributes, from);
    const wanted = resolve(dirname(from), place);
    const file = localFile(wanted);
    if (!file) throw new ImportError(`'${specifier}': expected a file ${wanted} (or with one of the endings ${SOURCES.join(" ")}), found none`);
    cache.get(from)?.needs.add(file);
    if (file.includes(`${sep}node_modules${sep}`)) return loadPackage(file, attributes, from);
    if (file.endsWith(".node")) return namespaceOf(require_(file));
    return loadLocal(file, attributes, path);
  }

  return {
    load: (specifier, attributes, from) => load(specifier, attributes, from),
    refresh() {
      const stale = new Set([...cache.values()].filter(({ file, stamp }) => stampOf(file) !== stamp).map(({ file }) => file));
      // Whoever imported a changed file, directly or not, is made again too.
      for (let before = -1; before !== stale.size; ) {
        before = stale.size;
        for (const { file, needs } of cache.values()) if ([...needs].some((each) => stale.has(each))) stale.add(file);
      }
      for (const file of stale) cache.delete(file);
      return [...stale];
    },
    local: (paths) => paths.flatMap((path) => localFile(resolve(root, path)) ?? []),
    require: require_,
  };
}

/** What `import.meta` is in a file. */
export const metaOf = (file: string, require_: NodeJS.Require): Record<string, unknown> => ({
  url: pathToFileURL(file).href, filename: file, dirname: dirname(file), resolve: (specifier: string) => pathToFileURL(require_.resolve(specifier)).href,
});

/** The value a static import binds to a local name. */
export function imported(module: Namespace, name: string): unknown {
  return name === "*" ? module : module[name];
}
