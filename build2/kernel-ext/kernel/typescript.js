"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.createTypeScript = createTypeScript;
const node_fs_1 = require("node:fs");
const node_module_1 = require("node:module");
const node_path_1 = require("node:path");
const node_util_1 = require("node:util");
const node_vm_1 = __importDefault(require("node:vm"));
const cell_1 = require("./cell");
const compile_1 = require("./compile");
const errors_1 = require("./errors");
const modules_1 = require("./modules");
const parse_1 = require("./parse");
const types_1 = require("./types");
const variables_1 = require("./variables");
/** Runs a function so that a signal can end it by force: only a script that Node starts can be. */
const START = Symbol.for("saelab.start");
const starter = new node_vm_1.default.Script(`globalThis[Symbol.for("saelab.start")]()`, { filename: (0, node_path_1.join)(__dirname, "start.js") });
const lazyMap = (json) => {
    let made;
    return () => (made ??= new node_module_1.SourceMap(JSON.parse(json)));
};
/** Where a compiled file says its line comes from, if its map lies beside it: this package's own code, in a clone. */
function locateByMap(file, line, column) {
    const path = `${file}.map`;
    if (!(0, node_path_1.isAbsolute)(file) || !(0, node_fs_1.existsSync)(path))
        return undefined;
    const entry = new node_module_1.SourceMap(JSON.parse((0, node_fs_1.readFileSync)(path, "utf8"))).findEntry(line - 1, column - 1);
    if (!("originalSource" in entry) || entry.originalLine === undefined)
        return undefined;
    const source = (0, node_path_1.join)((0, node_path_1.dirname)(file), entry.originalSource);
    return (0, node_fs_1.existsSync)(source) ? { file: source, line: entry.originalLine + 1, column: entry.originalColumn + 1 } : undefined;
}
/** The timers of cells: an interrupt stops those that its cell has set. */
function cellTimers(scope) {
    const set = (start, once) => (work, ...rest) => {
        const cell = scope.current();
        if (!cell || typeof work !== "function")
            return start(work, ...rest);
        const timer = start((...args) => {
            if (once)
                cell.timers.delete(timer);
            work(...args);
        }, ...rest);
        cell.timers.add(timer);
        return timer;
    };
    const clear = (stop) => (timer) => {
        scope.current()?.timers.delete(timer);
        stop(timer);
    };
    const promised = (work, original) => Object.assign(work, { [node_util_1.promisify.custom]: original[node_util_1.promisify.custom] });
    return {
        setTimeout: promised(set(setTimeout, true), setTimeout), clearTimeout: clear(clearTimeout),
        setInterval: set(setInterval, false), clearInterval: clear(clearInterval),
        setImmediate: promised(set(setImmediate, true), setImmediate), clearImmediate: clear(clearImmediate),
    };
}
const isTypeScript = (file) => /\.[mc]?tsx?$/.test(file);
/** Relative paths that a text imports. */
const importedPaths = (source) => [...source.matchAll(/\b(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)].map((match) => match[1]);
/** Declared for cells. */
const OWN_DECLARATIONS = `\
/** What the latest cell that failed has thrown. An interrupted training's error holds the SAE as far as it was: lastError.sae. */
declare const lastError: any;
`;
const PRAGMA = "off"; // SAELAB_CHECK=off: cells are not checked unless they say nothing else
/**
 * TypeScript cells: checked by TypeScript 7's native server, compiled by esbuild, run in this thread and realm.
 * @param root the notebook's folder: imports start there
 * @param lent packages from outside of it that cells may import
 * @param imported told of each package a cell imports, once it is loaded
 */
function createTypeScript({ root, packageRoot, prelude, lent, scope, interrupts, clock, warn, onImport = () => { }, check = process.env.SAELAB_CHECK !== PRAGMA }) {
    const loaded = Promise.all([(0, parse_1.loadParser)(), (0, compile_1.loadCompiler)()]);
    loaded.catch(() => { }); // said by the first cell
    const types = (0, types_1.createTypes)({
        root, prelude: prelude.declarations + OWN_DECLARATIONS, given: () => [...Object.keys(prelude.values), "lastError", ...givenNames], lent, packageRoot, warn,
    });
    const variables = (0, variables_1.createVariables)();
    for (const [name, value] of Object.entries(prelude.values))
        variables.get(name).d(value);
    variables.get("lastError").d(undefined);
    const notebook = (0, node_path_1.join)(root, "notebook.ts");
    const maps = new Map();
    let latest; // cell whose map is in there whether it is kept or not
    const stop = () => {
        interrupts.poll();
        const cell = scope.current();
        if (!cell?.interrupted || clock.now() < cell.sparedUntil)
            return;
        throw new errors_1.KeyboardInterrupt("the cell was interrupted");
    };
    const after = (value) => {
        if (interrupts.ever || interrupts.flag[0] !== 0)
            stop();
        return value;
    };
    async function* steps(iterable, wait) {
        const source = iterable;
        const iterator = (source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]?.());
        if (!iterator)
            throw new TypeError("the object of `for await` is not iterable");
        let finished = false;
        try {
            for (;;) {
                const { done, value } = (await wait(iterator.next()));
                finished = done === true;
                if (finished)
                    return;
                yield after(await wait(value));
            }
        }
        finally {
            // Left early: the iterator is told, but one that hangs is not waited for.
            if (!finished)
                void Promise.resolve(iterator.return?.()).catch(() => { });
        }
    }
    const contextOf = (file, cell, place = file) => ({
        value: undefined,
        s: stop,
        a: after,
        r: (value, line, column) => (cell && typeof value?.then === "function"
            ? (0, cell_1.waitIn)(cell, value, (error) => (0, errors_1.addAwaited)(error, file, line, column)) : value),
        i: (iterable) => steps(iterable, (value) => (cell ? (0, cell_1.waitIn)(cell, value) : value)),
        z: (iterable) => steps(iterable, (value) => value),
        import: (specifier, options) => load(specifier, options?.with ?? {}, place),
        all: (module) => Object.fromEntries(Object.keys(module).filter((name) => name !== "default").map((name) => [name, () => module[name]])),
        meta: (0, modules_1.metaOf)(place, modules.require),
    });
    async function load(specifier, attributes, from) {
        const module = await modules.load(String(specifier), attributes, from);
        onImport(specifier);
        return module;
    }
    const notebookModule = { exports: {} };
    const given = {
        ...cellTimers(scope), module: notebookModule, exports: notebookModule.exports, __filename: notebook, __dirname: root,
    };
    const givenNames = [...Object.keys(given), "require"];
    /** Calls compiled code; the synchronous beginning of it can be ended by force. */
    function call({ code, parameters, roles, variables: shared }, file, special) {
        const compiled = new node_vm_1.default.Script(code, { filename: file }).runInThisContext();
        const args = parameters.map((name) => {
            if (name === roles.flag)
                return interrupts.flag;
            if (name in special)
                return special[name];
            const variable = shared.get(name);
            return variable === undefined ? given[name] : variables.get(variable);
        });
        const start = (work) => {
            globalThis[START] = work;
            return starter.runInThisContext({ breakOnSigint: true, displayErrors: false });
        };
        try {
            return interrupts.forcible(start, () => compiled(...args));
        }
        catch (error) {
            if (error?.code !== "ERR_SCRIPT_EXECUTION_INTERRUPTED")
                throw error;
            const cell = scope.current();
            if (cell)
                cell.interrupted = true;
            interrupts.poll();
            throw new errors_1.KeyboardInterrupt("the cell was interrupted");
        }
    }
    const modules = (0, modules_1.createModules)({
        root,
        async compile(source, file) {
            let compiled;
            try {
                compiled = await (0, compile_1.compileModule)(source, file, givenNames);
            }
            catch (error) {
                throw asCompileError(error, file);
            }
            maps.set(file, { steps: [lazyMap(compiled.maps[0]), lazyMap(compiled.maps[1])], keeps: true });
            return compiled;
        },
        run(compiled, file, imports, exports) {
            const { roles } = compiled;
            const own = modules.require;
            const module = { exports: {} };
            return call(compiled, file, {
                [roles.context]: contextOf(file, scope.current()), [roles.modules]: imports, [roles.exports]: exports,
                require: own, module, exports: module.exports, __filename: file, __dirname: (0, node_path_1.dirname)(file),
            });
        },
    });
    given.require = modules.require;
    const stamps = new Map();
    /** Whether a local file was never checked as it is now. */
    const unchecked = (file) => {
        const stamp = (0, modules_1.stampOf)(file);
        if (stamps.get(file) === stamp || !isTypeScript(file))
            return false;
        stamps.set(file, stamp);
        return true;
    };
    /** Reads, checks and compiles a cell; the checker works while esbuild does. */
    async function prepare(cell, checked) {
        const { source } = cell;
        const broken = /\p{Surrogate}/u.exec(source);
        if (broken) {
            throw new errors_1.CompileError([{
                    start: (0, parse_1.placeOf)(source, broken.index), syntax: true,
                    messageText: `half a character: a lone surrogate (U+${source.charCodeAt(broken.index).toString(16).toUpperCase()}) cannot be saved or sent`,
                }]);
        }
        const found = (0, parse_1.outline)(source);
        const around = { declared: (name) => variables.has(name), given: givenNames };
        const compiling = (0, compile_1.compileCell)(source, cell.name, found, around);
        compiling.catch(() => { });
        let checks;
        const edited = modules.refresh();
        types.changed(edited); // whether this cell is checked or not: the next one may be
        if (checked && !found.unchecked) {
            checks = await types.check(source, found, [...new Set([...edited.filter(isTypeScript), ...modules.local(importedPaths(source)).filter(unchecked)])]);
            if (checks.diagnostics.length > 0)
                throw new errors_1.CompileError(checks.diagnostics);
        }
        if (found.errors.length > 0)
            throw new errors_1.CompileError((0, parse_1.syntaxDiagnostics)(source, found.errors));
        let compiled;
        try {
            compiled = await compiling;
        }
        catch (error) {
            throw asCompileError(error);
        }
        if (latest !== undefined && !maps.get(latest)?.keeps)
            maps.delete(latest);
        latest = cell.name;
        maps.set(cell.name, { steps: [lazyMap(compiled.maps[0]), lazyMap(compiled.maps[1])], keeps: compiled.keeps });
        // Unchecked cells are declared to the checker all the same: their names exist from now on.
        return { compiled, keep: checks ? checks.keep : () => types.declare(source, found) };
    }
    async function execute(cell, checked, declares) {
        try {
            await loaded;
            const { compiled, keep } = await (0, cell_1.waitIn)(cell, prepare(cell, checked));
            const context = contextOf(cell.name, cell, notebook);
            for (const { specifier, attributes, names } of compiled.imports) {
                const module = await (0, cell_1.waitIn)(cell, load(specifier, attributes, notebook));
                for (const { imported: name, local } of names)
                    variables.get(local).d((0, modules_1.imported)(module, name));
            }
            if (declares)
                keep(); // from here on, whether the cell will throw or not: its first half may have run
            const { roles } = compiled;
            const result = call(compiled, cell.name, { [roles.context]: context, [roles.modules]: [], [roles.exports]: () => { } });
            if (compiled.isAsync)
                await (0, cell_1.waitIn)(cell, result);
            return { ok: true, value: context.value };
        }
        catch (error) {
            if (declares && !(error instanceof errors_1.CompileError))
                variables.get("lastError").d(error);
            return { ok: false, error };
        }
    }
    const here = __dirname + node_path_1.sep;
    return {
        run: (cell) => execute(cell, check, true),
        evaluate: (cell) => execute(cell, false, false),
        async complete(source, offset) {
            await loaded;
            types.changed(modules.refresh());
            return types.complete(source, offset, (0, parse_1.outline)(source));
        },
        async inspect(source, offset) {
            await loaded;
            return types.inspect(source, offset, (0, parse_1.outline)(source));
        },
        isComplete: (source) => (0, parse_1.completeness)(source),
        keeps: (name) => maps.get(name)?.keeps ?? false,
        tracer: {
            root,
            locate(file, line, column) {
                const awaited = file.endsWith(errors_1.AWAITED);
                const name = awaited ? file.slice(0, -errors_1.AWAITED.length) : file;
                const entry = maps.get(name);
                if (!entry)
                    return locateByMap(file, line, column);
                let at = { line: line - 1, column: column - 1 };
                for (const map of awaited ? entry.steps.slice(1) : entry.steps) {
                    const { originalLine, originalColumn } = map().findEntry(at.line, at.column);
                    if (originalLine === undefined)
                        return undefined;
                    at = { line: originalLine, column: originalColumn ?? 0 };
                }
                return { file: name, line: at.line + 1, column: at.column + 1 };
            },
            hidden: (file) => file.startsWith(here) || file.startsWith("evalmachine."),
        },
        close() {
            types.close();
            (0, compile_1.stopCompiler)();
        },
    };
}
/** esbuild's complaint as the checker would write it. */
function asCompileError(error, file) {
    const { errors } = error;
    if (!errors)
        return error;
    return new errors_1.CompileError(errors.map(({ text, location }) => ({
        start: { line: (location?.line ?? 1) - 1, character: location?.column ?? 0 }, messageText: text, syntax: true, fileName: file,
    })));
}
//# sourceMappingURL=typescript.js.map