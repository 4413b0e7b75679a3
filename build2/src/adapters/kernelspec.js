"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.kernelContents = void 0;
exports.installKernel = installKernel;
exports.uninstallKernel = uninstallKernel;
exports.writeKernel = writeKernel;
exports.userDataFolder = userDataFolder;
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = __importDefault(require("node:path"));
const errors_1 = require("../core/errors");
const spec_1 = require("../../kernel-ext/kernel/spec");
const package_1 = require("./package");
const LOGOS = node_path_1.default.join(package_1.packageRoot, "kernel-ext", "logo");
const MAIN = /[\\/]build[\\/]kernel-ext[\\/]kernel[\\/]main\.js$/; // what a kernelspec of ours starts, wherever the package lies or lay
/**
 * Registers the kernel, in place of an older registration of ours.
 * Without `user` and `prefix` it goes into the virtual environment of set-up, or, where there is none, to the user's own kernels.
 * @returns the folder that was written
 * @throws OptionError for a name Jupyter would not take, for one that belongs to another kernel, and where nothing may be written
 */
function installKernel(options = {}) {
    const folder = kernelFolder(options);
    writeKernel(folder, options.displayName);
    return folder;
}
/**
 * Removes a registration of ours; its place is chosen as for `installKernel`.
 * @returns the folder that was removed
 * @throws OptionError where there is none, and where the kernel is not saelab's
 */
function uninstallKernel(options = {}) {
    const folder = kernelFolder(options);
    const found = occupant(folder);
    if (!found)
        throw new errors_1.OptionError(`${folder}: expected a kernelspec to remove, found none. ${elsewhere(options, folder)}`);
    if (!found.ours) {
        throw new errors_1.OptionError(`${folder}: expected a kernelspec of saelab, found ${found.what}. Nothing was removed. ` +
            `If that kernel is to go: jupyter kernelspec remove ${node_path_1.default.basename(folder)}.`);
    }
    staged(folder, (staging) => (0, node_fs_1.renameSync)(folder, node_path_1.default.join(staging, "old")));
    return folder;
}
/**
 * Writes kernel.json and logos. A new folder appears whole; an older one of ours changes file by file, so that the kernel is never away.
 * @throws OptionError when another kernel is there already, or nothing may be written
 */
function writeKernel(folder, displayName) {
    const found = occupant(folder);
    if (found && !found.ours) {
        throw new errors_1.OptionError(`${folder}: expected nothing there or a kernelspec of saelab, found ${found.what}. Choose another name (--name NAME).`);
    }
    staged(folder, (staging) => {
        const made = node_path_1.default.join(staging, "new");
        const names = [...(0, node_fs_1.readdirSync)(LOGOS), "kernel.json"]; // in this order: what starts the kernel changes last
        (0, node_fs_1.mkdirSync)(made);
        for (const logo of names.slice(0, -1))
            (0, node_fs_1.copyFileSync)(node_path_1.default.join(LOGOS, logo), node_path_1.default.join(made, logo));
        (0, node_fs_1.writeFileSync)(node_path_1.default.join(made, "kernel.json"), `${JSON.stringify(spec(displayName), null, 2)}\n`);
        if (!found)
            return (0, node_fs_1.renameSync)(made, folder);
        for (const name of names)
            (0, node_fs_1.renameSync)(node_path_1.default.join(made, name), node_path_1.default.join(folder, name));
        for (const name of (0, node_fs_1.readdirSync)(folder))
            if (!names.includes(name))
                (0, node_fs_1.rmSync)(node_path_1.default.join(folder, name), { recursive: true });
    });
}
/** All that `writeKernel` would write, as one string: set-up compares it with that of its last run. */
const kernelContents = () => [JSON.stringify(spec()), ...(0, node_fs_1.readdirSync)(LOGOS).map((logo) => (0, node_fs_1.readFileSync)(node_path_1.default.join(LOGOS, logo), "base64"))].join("\n");
exports.kernelContents = kernelContents;
function spec(displayName) {
    const made = (0, spec_1.kernelSpec)({ node: process.execPath, packageRoot: package_1.packageRoot });
    return { ...made, display_name: displayName ?? made.display_name };
}
function kernelFolder({ user, prefix, name = "saelab" }) {
    if (user && prefix !== undefined)
        throw new errors_1.OptionError("--user and --prefix: expected at most one of them, found both.");
    if (prefix === "")
        throw new errors_1.OptionError("--prefix: expected a folder, found an empty text.");
    if (!/^[a-z0-9._-]+$/i.test(name) || /^\.+$/.test(name)) {
        throw new errors_1.OptionError(`--name: expected letters, digits, ".", "_" and "-" of ASCII, found ${JSON.stringify(name)}.`);
    }
    const data = user ? userDataFolder() : prefix !== undefined ? inPrefix(prefix) : defaultDataFolder();
    return node_path_1.default.join(data, "kernels", name.toLowerCase()); // Jupyter knows kernels by their names in lower case
}
const inPrefix = (prefix) => node_path_1.default.join(node_path_1.default.resolve(prefix), "share", "jupyter");
/** As set-up: Jupyter's own variable wins, then comes the virtual environment; without one, the user's kernels. */
function defaultDataFolder() {
    const venv = process.env.JUPYTER_DATA_DIR ? undefined : (0, package_1.findVenv)();
    return venv ? inPrefix(venv) : userDataFolder();
}
/** Where Jupyter keeps a user's own data; the same as `jupyter --data-dir` says. */
function userDataFolder(env = process.env, platform = process.platform, home = (0, node_os_1.homedir)()) {
    if (env.JUPYTER_DATA_DIR)
        return node_path_1.default.resolve(env.JUPYTER_DATA_DIR);
    if (platform === "darwin")
        return node_path_1.default.join(home, "Library", "Jupyter");
    if (platform === "win32")
        return node_path_1.default.join(env.APPDATA || node_path_1.default.join(home, "AppData", "Roaming"), "jupyter");
    return node_path_1.default.join(env.XDG_DATA_HOME || node_path_1.default.join(home, ".local", "share"), "jupyter");
}
/** Who is in a kernel's folder already; undefined for a folder that is absent or empty. */
function occupant(folder) {
    if (!(0, node_fs_1.existsSync)(folder))
        return undefined;
    try {
        if ((0, node_fs_1.readdirSync)(folder).length === 0)
            return undefined;
        const { argv, display_name } = JSON.parse((0, node_fs_1.readFileSync)(node_path_1.default.join(folder, "kernel.json"), "utf8"));
        return { ours: (argv ?? []).some((word) => MAIN.test(word)), what: `${display_name} (${(argv ?? []).join(" ")})` };
    }
    catch {
        return { ours: false, what: "something without a readable kernel.json" };
    }
}
/**
 * Gives `work` a fresh folder beside the kernel's, on the same disk, and removes it afterwards with what was moved there.
 * Jupyter takes every folder that holds a kernel.json for a kernel: what is half made must lie one level deeper, in that folder.
 */
function staged(folder, work) {
    const kernels = node_path_1.default.dirname(folder);
    let staging;
    try {
        (0, node_fs_1.mkdirSync)(kernels, { recursive: true });
        staging = (0, node_fs_1.mkdtempSync)(node_path_1.default.join(kernels, ".saelab-"));
        work(staging);
    }
    catch (error) {
        const { code, message } = error;
        throw new errors_1.OptionError(`${folder}: expected to write there, found ${code ?? message}. Choose a folder of your own: --user or --prefix DIR.`, { cause: error });
    }
    finally {
        if (staging)
            (0, node_fs_1.rmSync)(staging, { recursive: true, force: true });
    }
}
/** Which options would have found a kernelspec of ours by that name. */
function elsewhere({ name }, missing) {
    const venv = (0, package_1.findVenv)();
    const places = [["--user", { user: true }], ...(venv ? [[`--prefix ${venv}`, { prefix: venv }]] : [])];
    const hit = places.find(([, place]) => {
        const folder = kernelFolder({ ...place, name });
        return folder !== missing && occupant(folder)?.ours;
    });
    return hit ? `One is found with ${hit[0]}.` : "jupyter kernelspec list says which kernels there are and where.";
}
//# sourceMappingURL=kernelspec.js.map