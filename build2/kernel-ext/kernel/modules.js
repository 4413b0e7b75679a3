"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.metaOf = exports.stampOf = exports.ImportError = void 0;
exports.namespaceOf = namespaceOf;
exports.createModules = createModules;
exports.imported = imported;
const node_fs_1 = require("node:fs");
const node_module_1 = require("node:module");
const node_path_1 = require("node:path");
const node_url_1 = require("node:url");
const node_vm_1 = __importDefault(require("node:vm"));
const packages_1 = require("./packages");
/** An import that cannot be: what was looked for, from where, and what helps. */
class ImportError extends Error {
    name = "ImportError";
}
exports.ImportError = ImportError;
const SOURCES = [".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json"];
const TYPED = { ".js": [".ts", ".tsx"], ".jsx": [".tsx"], ".mjs": [".mts"], ".cjs": [".cts"] };
const isFile = (path) => (0, node_fs_1.statSync)(path, { throwIfNoEntry: false })?.isFile() ?? false;
/** Size and time of a file: it is the same as long as they are. */
const stampOf = (file) => {
    const found = (0, node_fs_1.statSync)(file, { throwIfNoEntry: false });
    return found ? `${found.size} ${found.mtimeMs}` : "";
};
exports.stampOf = stampOf;
/** A path as it is imported → the file that is meant: "./x" → x.ts, "./x.js" → x.ts where only that is there, a folder → its index. */
function localFile(path) {
    const ending = (0, node_path_1.extname)(path);
    const candidates = [
        path, ...(TYPED[ending] ?? []).map((other) => path.slice(0, -ending.length) + other),
        ...SOURCES.map((other) => path + other), ...SOURCES.map((other) => (0, node_path_1.join)(path, `index${other}`)),
    ];
    return candidates.find(isFile);
}
const spaces = new WeakMap();
/** A CommonJS module's exports as a namespace, by TypeScript's esModuleInterop: `default` is the module itself unless it was an ES module once. */
function namespaceOf(exports) {
    if ((typeof exports !== "object" && typeof exports !== "function") || exports === null)
        return { default: exports };
    if (exports.__esModule || exports[Symbol.toStringTag] === "Module")
        return exports;
    let space = spaces.get(exports);
    if (!space) {
        space = Object.create(null);
        for (const key of Object.keys(exports)) {
            if (key !== "default")
                Object.defineProperty(space, key, { enumerable: true, configurable: true, get: () => exports[key] });
        }
        space.default = exports;
        spaces.set(exports, space);
    }
    return space;
}
/** Node's reasons why require() cannot load what import() can. */
const ONLY_IMPORT = new Set(["ERR_REQUIRE_ESM", "ERR_REQUIRE_ASYNC_MODULE", "ERR_PACKAGE_PATH_NOT_EXPORTED", "ERR_REQUIRE_CYCLE_MODULE"]);
/** Node 20 says of import() from a script that it is experimental; that is no news for a notebook's reader. */
function quietly(work) {
    const { emitWarning } = process;
    process.emitWarning = () => { };
    try {
        return work();
    }
    finally {
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
function createModules({ root, compile, run }) {
    const cache = new Map();
    const notebook = (0, node_path_1.join)(root, "notebook.ts");
    const require_ = (0, node_module_1.createRequire)(notebook);
    const importers = new Map();
    /** Node's own import(), as if that file had written it. */
    const importFrom = (from) => {
        let found = importers.get(from);
        if (!found) {
            found = new node_vm_1.default.Script("(specifier, options) => import(specifier, options)", {
                filename: from, importModuleDynamically: node_vm_1.default.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
            }).runInThisContext();
            importers.set(from, found);
        }
        return found;
    };
    async function loadPackage(specifier, attributes, from) {
        const name = (0, packages_1.packageName)(specifier) ?? specifier;
        try {
            return namespaceOf((0, node_module_1.createRequire)(from)(specifier));
        }
        catch (error) {
            const { code, message } = error;
            const absent = code === "MODULE_NOT_FOUND" && message.startsWith(`Cannot find module '${specifier}'`);
            if (!absent && !ONLY_IMPORT.has(code ?? ""))
                throw error;
            try {
                return await quietly(() => importFrom(from)(specifier, Object.keys(attributes).length > 0 ? { with: attributes } : undefined));
            }
            catch (other) {
                if (!/^ERR_(MODULE_NOT_FOUND|PACKAGE_PATH_NOT_EXPORTED)$/.test(other.code ?? "") || !String(other.message).includes(name))
                    throw other;
                throw new ImportError(absent
                    ? `'${specifier}': expected the package ${name} in node_modules of ${root} or a folder above, found none. Install it: npm install ${name} (in ${root})`
                    : `'${specifier}': expected the package ${name} to export it, it does not: ${other.message}`, { cause: other });
            }
        }
    }
    /** Local files that are being loaded, with what they import: a cycle reads half-made exports, as in Node. */
    async function loadLocal(file, attributes, path) {
        const known = cache.get(file);
        if (known) {
            if (!path.includes(file))
                await known.ready;
            return known.exports;
        }
        if (file.endsWith(".json") || attributes.type === "json") {
            let value;
            try {
                value = JSON.parse((0, node_fs_1.readFileSync)(file, "utf8"));
            }
            catch (cause) {
                throw new ImportError(`${file}: expected JSON, found ${cause.message}`, { cause });
            }
            return { ...(typeof value === "object" && !Array.isArray(value) ? value : {}), default: value };
        }
        if (!SOURCES.includes((0, node_path_1.extname)(file)))
            throw new ImportError(`${file}: expected a source file (${SOURCES.join(" ")}), found ${(0, node_path_1.extname)(file) || "no ending"}`);
        const source = (0, node_fs_1.readFileSync)(file, "utf8");
        if (/\.c?js$/.test(file) && !/^\s*(import|export)\b/m.test(source)) {
            delete require_.cache[(0, node_fs_1.realpathSync)(file)];
            cache.set(file, { file, stamp: (0, exports.stampOf)(file), needs: new Set(), exports: namespaceOf(require_(file)), ready: Promise.resolve() });
            return cache.get(file).exports;
        }
        const local = { file, stamp: (0, exports.stampOf)(file), needs: new Set(), exports: Object.create(null), ready: Promise.resolve() };
        cache.set(file, local);
        local.ready = (async () => {
            const compiled = await compile(source, file);
            const modules = compiled.imports.map(() => ({}));
            // Files of a cycle see each other's names before either has run.
            for (const [i, each] of compiled.imports.entries())
                modules[i] = await load(each.specifier, each.attributes, file, [...path, file]);
            await run(compiled, file, modules, (getters) => {
                for (const [name, get] of Object.entries(getters))
                    Object.defineProperty(local.exports, name, { get, enumerable: true, configurable: true });
            });
        })();
        local.ready.catch(() => cache.delete(file)); // what failed is tried again
        await local.ready;
        return local.exports;
    }
    async function load(specifier, attributes, from, path = []) {
        if (specifier.startsWith("node:") || node_module_1.builtinModules.includes(specifier))
            return namespaceOf(require_(specifier));
        if (/^(https?|npm|jsr):/.test(specifier)) {
            throw new ImportError(`'${specifier}': expected a package or a file, found a web address. Nothing is fetched at run time: install the package, or save the file beside the notebook.`);
        }
        const place = specifier.startsWith("file:") ? (0, node_url_1.fileURLToPath)(specifier) : specifier;
        if (!/^\.{0,2}\//.test(place) && !(0, node_path_1.isAbsolute)(place) && place !== "." && place !== "..")
            return loadPackage(specifier, attributes, from);
        const wanted = (0, node_path_1.resolve)((0, node_path_1.dirname)(from), place);
        const file = localFile(wanted);
        if (!file)
            throw new ImportError(`'${specifier}': expected a file ${wanted} (or with one of the endings ${SOURCES.join(" ")}), found none`);
        cache.get(from)?.needs.add(file);
        if (file.includes(`${node_path_1.sep}node_modules${node_path_1.sep}`))
            return loadPackage(file, attributes, from);
        if (file.endsWith(".node"))
            return namespaceOf(require_(file));
        return loadLocal(file, attributes, path);
    }
    return {
        load: (specifier, attributes, from) => load(specifier, attributes, from),
        refresh() {
            const stale = new Set([...cache.values()].filter(({ file, stamp }) => (0, exports.stampOf)(file) !== stamp).map(({ file }) => file));
            // Whoever imported a changed file, directly or not, is made again too.
            for (let before = -1; before !== stale.size;) {
                before = stale.size;
                for (const { file, needs } of cache.values())
                    if ([...needs].some((each) => stale.has(each)))
                        stale.add(file);
            }
            for (const file of stale)
                cache.delete(file);
            return [...stale];
        },
        local: (paths) => paths.flatMap((path) => localFile((0, node_path_1.resolve)(root, path)) ?? []),
        require: require_,
    };
}
/** What `import.meta` is in a file. */
const metaOf = (file, require_) => ({
    url: (0, node_url_1.pathToFileURL)(file).href, filename: file, dirname: (0, node_path_1.dirname)(file), resolve: (specifier) => (0, node_url_1.pathToFileURL)(require_.resolve(specifier)).href,
});
exports.metaOf = metaOf;
/** The value a static import binds to a local name. */
function imported(module, name) {
    return name === "*" ? module : module[name];
}
//# sourceMappingURL=modules.js.map