"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.stopCompiler = void 0;
exports.loadCompiler = loadCompiler;
exports.compileCell = compileCell;
exports.compileModule = compileModule;
const parse_1 = require("./parse");
const OPTIONS = {
    format: "esm",
    target: `node${process.versions.node.split(".")[0]}`,
    // What every supported Node lacks or has only in part is lowered; an import's attributes are ours to read.
    supported: { "import-attributes": true, using: false, decorators: false },
    charset: "utf8",
    sourcemap: "external",
    sourcesContent: false,
    jsx: "automatic",
    logLevel: "silent",
    // Imports that the text itself does not use may be used by a later cell.
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true, target: "esnext" } },
};
let esbuild;
let scopes;
let Magic;
/** Loads what compiling needs and starts esbuild's process; it takes some ten milliseconds, so it is done beside other work. */
async function loadCompiler() {
    esbuild ??= require("esbuild");
    await Promise.all([
        esbuild.transform("0", OPTIONS),
        import("magic-string").then((module) => (Magic = module.default)),
        import("eslint-scope").then((module) => (scopes = module)),
    ]);
}
/** A short text that does not occur in the source: our own names begin with it. */
function tagFor(source) {
    let tag = "$$";
    while (source.includes(tag))
        tag += "$";
    return tag;
}
const LOOPS = /^(For|ForIn|ForOf|While|DoWhile)Statement$/;
/** Whether a function calls anything: only then can it take long without a loop. */
function calls(node) {
    for (const child of (0, parse_1.childrenOf)(node)) {
        if (/^(Call|New|TaggedTemplate|Import)Expression$/.test(child.type))
            return true;
        if (!(0, parse_1.isFunction)(child) && calls(child))
            return true;
    }
    return false;
}
const attributesOf = (node) => Object.fromEntries((node.attributes ?? []).map((each) => [each.key.name ?? each.key.value, each.value.value]));
const importedName = (each) => each.type === "ImportDefaultSpecifier" ? "default"
    : each.type === "ImportNamespaceSpecifier" ? "*"
        : each.imported.name ?? each.imported.value;
const exportName = (node) => node.name ?? node.value;
const key = (name) => (/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? name : JSON.stringify(name));
/**
 * Rewrites one text. The rules:
 * - a top-level name of a cell is a Variable: each declaration gives it its value, each other use reads or writes `.v`;
 * - loops, and functions that call something, look at the interrupt flag;
 * - an await at the top level can be given up; each await looks whether its cell was interrupted meanwhile;
 * - imports are loaded by the kernel; in a module they are read as properties, so that cycles and live bindings work;
 * - the value of a cell's last expression is kept.
 */
class Rewriting {
    js;
    what;
    own;
    around;
    magic;
    program;
    tag;
    imports = [];
    variables = new Map();
    given = new Set();
    replace = new Map(); // identifier → what stands for it
    head = []; // before the first statement
    exported = [];
    heads = new Set(); // declarations in the head of a for loop
    shorthand = new Set(); // identifiers that are key and value at once, `{ a }` and `{ a = 1 }`
    awaits = false;
    keeps = false;
    constructor(js, what, own, around) {
        this.js = js;
        this.what = what;
        this.own = own;
        this.around = around;
        this.magic = new Magic(js);
        this.program = (0, parse_1.parse)(js, "js").program;
        this.tag = tagFor(js);
        this.survey(this.program);
    }
    variable(name) {
        const parameter = `${this.tag}_${name}`;
        this.variables.set(parameter, name);
        return parameter;
    }
    run(value, disposes) {
        const manager = scopes.analyze(this.program, { ecmaVersion: 2024, sourceType: "module", fallback: "iteration" });
        const global = manager.globalScope;
        this.takeImports();
        this.resolve(global.childScopes[0], global);
        if (value)
            this.keepValue(disposes);
        for (const statement of this.program.body)
            this.statement(statement);
        const { tag } = this;
        const roles = { context: `${tag}c`, flag: `${tag}i`, modules: `${tag}m`, exports: `${tag}x` };
        const parameters = [...Object.values(roles), ...this.given, ...this.variables.keys()];
        if (this.exported.length > 0)
            this.head.unshift(`${roles.exports}({ ${this.exported.join(", ")} });`);
        this.magic.prepend(`(${this.awaits ? "async " : ""}function (${parameters.join(", ")}) { "use strict"; ${this.head.join(" ")} `);
        this.magic.append("\n})");
        return {
            code: this.magic.toString(), isAsync: this.awaits, parameters, roles, imports: this.imports, variables: this.variables,
            given: [...this.given], keeps: this.keeps, maps: [this.magic.generateMap({ hires: "boundary" }).toString(), ""],
        };
    }
    /** Static imports and exports leave the text. */
    takeImports() {
        for (const node of this.program.body) {
            const from = node.source;
            if (!from)
                continue;
            const imported = { specifier: from.value, attributes: attributesOf(node), names: [] };
            this.imports.push(imported);
            const module = `${this.tag}m[${this.imports.length - 1}]`;
            if (node.type === "ImportDeclaration") {
                imported.names = node.specifiers.map((each) => ({ imported: importedName(each), local: each.local.name }));
            }
            else if (node.type === "ExportAllDeclaration") {
                this.exported.push(node.exported ? `${key(exportName(node.exported))}: () => ${module}` : `...${this.tag}c.all(${module})`);
            }
            else {
                for (const each of node.specifiers) {
                    this.exported.push(`${key(exportName(each.exported))}: () => ${module}[${JSON.stringify(exportName(each.local))}]`);
                }
            }
        }
    }
    /** Decides for each name what it stands for. */
    resolve(module, global) {
        for (const variable of module.variables) {
            const imported = variable.defs.some(({ type }) => type === "ImportBinding");
            if (imported)
                this.resolveImport(variable);
            else if (this.what === "cell" && this.own.has(variable.name))
                this.resolveOwn(variable);
        }
        for (const { identifier } of global.through) {
            const node = identifier;
            const { name } = node;
            if (this.what === "cell" && (this.around.declared(name) || !(this.around.given.includes(name) || name in globalThis || name === "arguments"))) {
                // Not declared yet either: a later cell may do so before this code runs.
                const parameter = this.variable(name);
                this.replace.set(node, { text: `${parameter}.v`, absent: parameter });
            }
            else if (this.around.given.includes(name)) {
                this.given.add(name);
            }
        }
    }
    resolveImport(variable) {
        if (this.what === "cell") {
            const parameter = this.variable(variable.name);
            for (const { identifier } of variable.references)
                this.replace.set(identifier, { text: `${parameter}.v` });
            return;
        }
        const at = this.imports.findIndex(({ names }) => names.some(({ local }) => local === variable.name));
        const { imported } = this.imports[at].names.find(({ local }) => local === variable.name);
        const module = `${this.tag}m[${at}]`;
        for (const { identifier } of variable.references) {
            this.replace.set(identifier, { text: imported === "*" ? module : `${module}[${JSON.stringify(imported)}]` });
        }
    }
    resolveOwn(variable) {
        const parameter = this.variable(variable.name);
        const [def] = variable.defs;
        // Inside its own declarator's pattern (a default that reads its neighbour) a name is still local.
        const patterns = [];
        for (const { type, node, parent, name } of variable.defs) {
            if (type !== "Variable")
                continue;
            const head = this.headOfLoop(parent);
            if (head)
                this.replace.set(name, { text: `${parameter}.v` });
            // An enum is made from what is there of it: var E = (…)(E || {}). Of an earlier cell's nothing is wanted.
            else
                patterns.push(parent.kind === "var" ? node : node.id);
            if (parent.kind === "var" && !this.program.body.includes(parent)) {
                this.head.push(`${parameter}.h || ${parameter}.d(undefined);`);
            }
        }
        if (def.type === "FunctionName")
            this.head.push(`${parameter}.d(${variable.name});`);
        for (const { identifier } of variable.references) {
            const node = identifier;
            if (!patterns.some(({ start, end }) => node.start >= start && node.end <= end))
                this.replace.set(node, { text: `${parameter}.v` });
        }
    }
    /** Whether a declaration stands in the head of a for loop. */
    headOfLoop(declaration) {
        return this.heads.has(declaration);
    }
    /** Finds in one walk what is asked of nodes away from their parents. */
    survey(node) {
        if (LOOPS.test(node.type))
            for (const each of [node.init, node.left])
                if (each?.type === "VariableDeclaration")
                    this.heads.add(each);
        if (node.type === "Property" && node.shorthand)
            this.shorthand.add(node.value.type === "AssignmentPattern" ? node.value.left : node.value);
        for (const child of (0, parse_1.childrenOf)(node))
            this.survey(child);
    }
    /** The last expression's value; esbuild puts a cell with `using` into a try block. */
    keepValue(disposes) {
        const statements = this.program.body.filter(({ type }) => !/^(Import|Export)/.test(type));
        let last = statements.at(-1);
        if (disposes && last?.type === "TryStatement")
            last = last.block.body.at(-1);
        if (last?.type !== "ExpressionStatement")
            return;
        this.magic.appendRight(last.start, `${this.tag}c.value = (`);
        this.magic.prependLeft(last.expression.end, ")");
    }
    statement(node) {
        const { magic } = this;
        switch (node.type) {
            case "ImportDeclaration":
            case "ExportAllDeclaration":
                magic.remove(node.start, node.end);
                return;
            case "ExportNamedDeclaration":
                if (!node.declaration) {
                    if (!node.source) {
                        for (const each of node.specifiers) {
                            const text = this.replace.get(each.local)?.text ?? exportName(each.local);
                            this.exported.push(`${key(exportName(each.exported))}: () => ${text}`);
                        }
                    }
                    magic.remove(node.start, node.end);
                    return;
                }
                magic.remove(node.start, node.declaration.start);
                for (const name of (0, parse_1.namesOf)(node.declaration))
                    this.exported.push(`${key(name)}: () => ${name}`);
                this.visit(node.declaration, this.program, undefined);
                return;
            case "ExportDefaultDeclaration": {
                const inner = node.declaration;
                if (this.what === "cell") {
                    magic.remove(node.start, inner.start);
                }
                else if (inner.id) {
                    magic.remove(node.start, inner.start);
                    this.exported.push(`default: () => ${inner.id.name}`);
                }
                else {
                    // A nameless class or function, or a value.
                    magic.update(node.start, inner.start, `const ${this.tag}d = `);
                    this.exported.push(`default: () => ${this.tag}d`);
                }
                this.visit(inner, this.program, undefined);
                return;
            }
            default:
                this.visit(node, this.program, undefined);
        }
    }
    /** @param inside the function around the node; undefined at the top level */
    visit(node, parent, inside) {
        const { magic, tag } = this;
        const c = `${tag}c`;
        const guard = `${tag}i[0] !== 0`;
        if (node.type === "Identifier")
            return this.identifier(node, parent);
        if (LOOPS.test(node.type)) {
            this.enter(node.body, `if (${guard}) ${c}.s();`);
            if (node.type === "ForOfStatement" && node.await) {
                if (!inside)
                    this.awaits = true;
                magic.appendRight(node.right.start, `${c}.${inside ? "z" : "i"}(`);
                magic.prependLeft(node.right.end, ")");
            }
            for (const head of [node.init, node.left]) {
                if (head?.type !== "VariableDeclaration" || head.kind !== "var" || inside || this.what !== "cell")
                    continue;
                if ((0, parse_1.namesOf)(head).some((name) => this.own.has(name)))
                    magic.remove(head.start, head.declarations[0].start);
            }
        }
        else if ((0, parse_1.isFunction)(node)) {
            this.keeps = true;
            if (calls(node.body)) {
                if (node.body.type === "BlockStatement") {
                    this.enter(node.body, `if (${guard}) ${c}.s();`);
                }
                else {
                    magic.appendRight(node.body.start, `(${guard} && ${c}.s(), `);
                    magic.prependLeft(node.body.end, ")");
                }
            }
            inside = node;
        }
        else if (node.type === "StaticBlock" || node.type === "PropertyDefinition") {
            this.keeps = true;
        }
        else if (node.type === "AwaitExpression") {
            if (!inside)
                this.awaits = true;
            magic.appendRight(node.start, `${c}.a(`);
            magic.prependLeft(node.end, ")");
            if (!inside) {
                const { line, character } = (0, parse_1.placeOf)(this.js, node.start);
                magic.appendRight(node.argument.start, `${c}.r(`);
                magic.prependLeft(node.argument.end, `, ${line + 1}, ${character + 1})`);
            }
        }
        else if (node.type === "MetaProperty" && node.meta.name === "import") {
            magic.update(node.start, node.end, `${c}.meta`);
            return;
        }
        else if (node.type === "ImportExpression") {
            magic.update(node.start, node.start + "import".length, `${c}.import`);
        }
        else if (!inside && this.what === "cell") {
            if (node.type === "VariableDeclaration" && !this.headOfLoop(node))
                this.declaration(node);
            if (node.type === "ClassDeclaration" && parent === this.program && this.own.has(node.id?.name)) {
                magic.appendLeft(node.end, ` ${this.variable(node.id.name)}.d(${node.id.name});`);
            }
        }
        for (const child of (0, parse_1.childrenOf)(node))
            this.visit(child, node, inside);
    }
    /** Puts a statement before all others of a body. */
    enter(body, text) {
        if (body.type === "BlockStatement") {
            this.magic.appendRight(body.start + 1, ` ${text} `);
        }
        else {
            this.magic.appendRight(body.start, `{ ${text} `);
            this.magic.prependLeft(body.end, " }");
        }
    }
    /** Each declarator is followed by giving its names' variables their values. */
    declaration(node) {
        const gives = (declarator) => (0, parse_1.namesOf)({ type: "VariableDeclaration", declarations: [declarator], start: 0, end: 0 })
            .filter((name) => this.own.has(name)).map((name) => ` ${this.variable(name)}.d(${name});`).join("");
        const list = node.declarations;
        // Block-scoped names of an inner block are nobody else's.
        if (node.kind !== "var" && !this.program.body.some((each) => each === node || each.declaration === node))
            return;
        list.forEach((declarator, i) => {
            const text = gives(declarator);
            if (i < list.length - 1) {
                if (text)
                    this.magic.update(declarator.end, list[i + 1].start, `;${text} ${node.kind} `);
            }
            else if (text) {
                this.magic.appendLeft(node.end, text);
            }
        });
    }
    identifier(node, parent) {
        const found = this.replace.get(node);
        if (!found)
            return;
        let { text } = found;
        if ((parent.type === "CallExpression" && parent.callee === node) || (parent.type === "TaggedTemplateExpression" && parent.tag === node)) {
            text = `(0, ${text})`; // without this the variable would be `this`
        }
        else if (parent.type === "UnaryExpression" && parent.operator === "typeof" && found.absent) {
            this.magic.update(parent.start, parent.end, `(${found.absent}.h ? typeof ${text} : "undefined")`);
            return;
        }
        else if (this.shorthand.has(node)) {
            text = `${node.name}: ${text}`;
        }
        this.magic.update(node.start, node.end, text);
    }
}
async function transform(source, loader, file) {
    const work = () => esbuild.transform(source, { ...OPTIONS, loader, sourcefile: file });
    const { code, map } = await work().catch((error) => {
        if (error.errors)
            throw error; // of the source; anything else is esbuild's process, which has ended
        esbuild.stop();
        return work();
    });
    return { js: code, map };
}
/**
 * Compiles a cell.
 * @param name how stack traces name it
 * @throws esbuild's TransformFailure for syntax that its parser refuses
 */
async function compileCell(source, name, cell, around) {
    // Exported names survive esbuild's lowering of `using`, which moves all statements into a try block.
    const own = [...cell.values];
    const text = cell.disposes ? `${source}\nexport { ${own.join(", ")} };` : source;
    const { js, map } = await transform(text, cell.dialect, name);
    const compiled = new Rewriting(js, "cell", new Set(own), around).run(cell.endsInExpression, cell.disposes);
    compiled.maps[1] = map;
    return compiled;
}
/** Compiles a local file that a cell imports. */
async function compileModule(source, file, given) {
    const loader = /\.[mc]?tsx?$/.test(file) ? (file.endsWith("x") ? "tsx" : "ts") : file.endsWith("x") ? "jsx" : "js";
    const { js, map } = await transform(source, loader, file);
    const compiled = new Rewriting(js, "module", new Set(), { declared: () => false, given }).run(false, false);
    compiled.maps[1] = map;
    return compiled;
}
const stopCompiler = () => void esbuild?.stop();
exports.stopCompiler = stopCompiler;
//# sourceMappingURL=compile.js.map