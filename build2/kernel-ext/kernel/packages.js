"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.packageName = void 0;
exports.findPackage = findPackage;
exports.lentPackages = lentPackages;
exports.typePaths = typePaths;
exports.lendPackages = lendPackages;
const node_fs_1 = require("node:fs");
const node_module_1 = __importDefault(require("node:module"));
const node_path_1 = require("node:path");
/** The folder node_modules/<name> nearest to `from`, as Node looks for it. */
function findPackage(name, from) {
    for (let dir = from;; dir = (0, node_path_1.dirname)(dir)) {
        const found = (0, node_path_1.join)(dir, "node_modules", name);
        if ((0, node_fs_1.existsSync)((0, node_path_1.join)(found, "package.json")))
            return found;
        if ((0, node_path_1.dirname)(dir) === dir)
            return undefined;
    }
}
/** The package a specifier names: "@a/b/c" → "@a/b"; undefined for paths. */
const packageName = (specifier) => /^(@[^/]+\/)?[^./][^/]*/.exec(specifier)?.[0];
exports.packageName = packageName;
/**
 * What the kernel lends a notebook: this package and the packages it depends on, as far as the notebook's own folder and those above
 * have none of that name. So `import … from "saelab"` means the packed install next to the notebook if there is one, and this
 * package otherwise; and TensorFlow, danfojs, plotly and transformers are the library's own instances.
 * @param root the notebook's folder
 * @param packageRoot this package's folder
 */
function lentPackages({ root, packageRoot }) {
    const { name, dependencies = {} } = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(packageRoot, "package.json"), "utf8"));
    const lent = new Map();
    if (!findPackage(name, root))
        lent.set(name, packageRoot);
    for (const dependency of Object.keys(dependencies)) {
        const dir = findPackage(dependency, root) ? undefined : findPackage(dependency, packageRoot);
        if (dir)
            lent.set(dependency, dir);
    }
    return lent;
}
/** TypeScript's `paths` for the lent packages; types kept apart in @types are found beside them. */
function typePaths(lent) {
    const paths = {};
    for (const [name, dir] of lent) {
        const types = findPackage(`@types/${name.replace(/^@(.*)\/(.*)$/, "$1__$2")}`, dir);
        const places = types ? [dir, types] : [dir];
        paths[name] = places;
        paths[`${name}/*`] = places.map((place) => `${place}/*`);
    }
    return paths;
}
/**
 * Lets require() find the lent packages where it finds none itself. Node offers no other place for this that works from Node 20 on
 * and also serves the .ts and .js files a notebook imports.
 * @returns function that takes the loan back
 */
function lendPackages(lent) {
    const loader = node_module_1.default;
    const ordinary = loader._resolveFilename;
    loader._resolveFilename = function (request, parent, isMain, options) {
        try {
            return ordinary.call(this, request, parent, isMain, options);
        }
        catch (error) {
            const name = (0, exports.packageName)(request);
            const dir = name && lent.get(name);
            if (!dir || error.code !== "MODULE_NOT_FOUND")
                throw error;
            const inside = request.slice(name.length);
            // From within the folder that holds it the package is found by name, "exports" included; this package may lie in a folder of
            // any name, and is found by its path.
            return dir.endsWith((0, node_path_1.join)("node_modules", name))
                ? ordinary.call(this, request, parent, isMain, { paths: [dir.slice(0, -(0, node_path_1.join)("node_modules", name).length)] })
                : ordinary.call(this, dir + inside, parent, isMain);
        }
    };
    return () => {
        loader._resolveFilename = ordinary;
    };
}
//# sourceMappingURL=packages.js.map