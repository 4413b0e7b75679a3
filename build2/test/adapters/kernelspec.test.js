"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = __importDefault(require("node:path"));
const node_test_1 = require("node:test");
const kernelspec_1 = require("../../src/adapters/kernelspec");
const package_1 = require("../../src/adapters/package");
const python_1 = require("../python");
/** The commands as a user gives them, each in a prefix, home or environment of its own; Jupyter's own command says what it finds. */
const scratch = (0, node_fs_1.mkdtempSync)(node_path_1.default.join((0, node_os_1.tmpdir)(), "saelab-kernelspec-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true }));
const folder = (name) => (0, node_fs_1.mkdtempSync)(node_path_1.default.join(scratch, `${name}-`));
const cli = node_path_1.default.join(package_1.packageRoot, "build", "src", "adapters", "cli.js");
const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(JUPYTER|XDG_DATA|SAELAB_VENV)/.test(name)));
const saelab = (args, env = {}) => (0, node_child_process_1.spawnSync)(process.execPath, [cli, ...args], { encoding: "utf8", env: { ...clean, ...env } });
/** What the commands say of a problem, after making sure that they failed. */
const refusal = (args, env = {}) => {
    const { status, stdout, stderr } = saelab(args, env);
    strict_1.default.equal(status, 1, stdout + stderr);
    return stderr;
};
const succeed = (args, env = {}) => {
    const { status, stdout, stderr } = saelab(args, env);
    strict_1.default.equal(status, 0, stderr);
    return stdout;
};
const kernelsOf = (prefix) => node_path_1.default.join(prefix, "share", "jupyter", "kernels");
const read = (kernel) => JSON.parse((0, node_fs_1.readFileSync)(node_path_1.default.join(kernel, "kernel.json"), "utf8"));
/** What any Jupyter finds that looks into this prefix. */
const listed = (prefix) => {
    const env = { ...clean, JUPYTER_PATH: node_path_1.default.join(prefix, "share", "jupyter"), HOME: prefix };
    return JSON.parse((0, node_child_process_1.execFileSync)((0, python_1.bin)("jupyter"), ["kernelspec", "list", "--json"], { encoding: "utf8", env })).kernelspecs;
};
/** A kernel that is not ours. */
const stranger = (kernel) => {
    (0, node_fs_1.mkdirSync)(kernel, { recursive: true });
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(kernel, "kernel.json"), JSON.stringify({ argv: ["node", "/x/main.js", "{connection_file}"], display_name: "Other", language: "typescript" }));
};
(0, node_test_1.test)("install writes a kernel that jupyter kernelspec list finds, with its logos", () => {
    const prefix = folder("prefix");
    const said = succeed(["install", "--prefix", prefix, "--name", "Saelab-Dev", "--display-name", "TypeScript (dev)"]);
    const kernel = node_path_1.default.join(kernelsOf(prefix), "saelab-dev");
    strict_1.default.ok(said.includes(kernel), said);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(kernelsOf(prefix)), ["saelab-dev"]);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(kernel).sort(), ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]);
    const { resource_dir, spec } = listed(prefix)["saelab-dev"];
    strict_1.default.equal(resource_dir, kernel);
    strict_1.default.deepEqual([spec.display_name, spec.language, spec.argv[0], spec.argv[2]], ["TypeScript (dev)", "typescript", process.execPath, "{connection_file}"]);
    strict_1.default.ok((0, node_fs_1.existsSync)(spec.argv[1]), `${spec.argv[1]} starts the kernel`);
    strict_1.default.deepEqual(spec, { ...spec, ...read(kernel) });
});
(0, node_test_1.test)("installing again replaces what is ours and leaves nothing of it", () => {
    const prefix = folder("again");
    const kernel = node_path_1.default.join(kernelsOf(prefix), "saelab");
    succeed(["install", "--prefix", prefix, "--display-name", "Old"]);
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(kernel, "logo-16x16.png"), "of an older version");
    succeed(["install", "--prefix", prefix]);
    strict_1.default.equal(read(kernel).display_name, "TypeScript (saelab)");
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(kernel).sort(), ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(kernelsOf(prefix)), ["saelab"]);
});
(0, node_test_1.test)("a replacement that cannot be finished leaves the kernel as it was", () => {
    const kernel = node_path_1.default.join(folder("half"), "kernels", "saelab");
    (0, kernelspec_1.writeKernel)(kernel, "Before");
    const before = (0, node_fs_1.readFileSync)(node_path_1.default.join(kernel, "kernel.json"), "utf8");
    (0, node_fs_1.rmSync)(node_path_1.default.join(kernel, "logo-svg.svg"));
    (0, node_fs_1.mkdirSync)(node_path_1.default.join(kernel, "logo-svg.svg", "in the way"), { recursive: true });
    strict_1.default.throws(() => (0, kernelspec_1.writeKernel)(kernel, "After"), { name: "OptionError", message: /expected to write there, found EISDIR/ });
    strict_1.default.equal((0, node_fs_1.readFileSync)(node_path_1.default.join(kernel, "kernel.json"), "utf8"), before);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(node_path_1.default.join(kernel, "..")), ["saelab"]);
});
(0, node_test_1.test)("uninstall removes what is ours, and then says that there is none", () => {
    const prefix = folder("remove");
    const kernel = node_path_1.default.join(kernelsOf(prefix), "passing");
    const place = ["--prefix", prefix, "--name", "passing"];
    succeed(["install", ...place]);
    strict_1.default.ok(listed(prefix).passing);
    strict_1.default.ok(succeed(["uninstall", ...place]).includes(`Removed the kernel passing: ${kernel}`));
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(kernelsOf(prefix)), []);
    strict_1.default.equal(listed(prefix).passing, undefined);
    const env = { JUPYTER_DATA_DIR: folder("data") };
    strict_1.default.match(refusal(["uninstall", ...place], env), /passing: expected a kernelspec to remove, found none\. jupyter kernelspec list/);
    succeed(["install", "--user", "--name", "passing"], env);
    strict_1.default.match(refusal(["uninstall", ...place], env), /found none\. One is found with --user\./);
});
(0, node_test_1.test)("another kernel is neither replaced nor removed", () => {
    const prefix = folder("stranger");
    const kernel = node_path_1.default.join(kernelsOf(prefix), "other");
    stranger(kernel);
    const before = (0, node_fs_1.readFileSync)(node_path_1.default.join(kernel, "kernel.json"), "utf8");
    strict_1.default.match(refusal(["install", "--prefix", prefix, "--name", "other"]), /expected nothing there or a kernelspec of saelab, found Other \(node \/x\/main\.js/);
    strict_1.default.match(refusal(["uninstall", "--prefix", prefix, "--name", "other"]), /expected a kernelspec of saelab, found Other .*Nothing was removed.*jupyter kernelspec remove other/);
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(kernel, "logo-64x64.png"), "");
    (0, node_fs_1.rmSync)(node_path_1.default.join(kernel, "kernel.json"));
    strict_1.default.match(refusal(["install", "--prefix", prefix, "--name", "other"]), /found something without a readable kernel\.json/);
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(kernel, "kernel.json"), before);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(kernelsOf(prefix)), ["other"]);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(kernel).sort(), ["kernel.json", "logo-64x64.png"]);
});
(0, node_test_1.test)("--user is where Jupyter keeps a user's data; without options, the environment of set-up comes first", () => {
    const home = folder("home");
    const dataDir = (env) => (0, node_child_process_1.execFileSync)((0, python_1.bin)("jupyter"), ["--data-dir"], { encoding: "utf8", env: { ...clean, ...env } }).trim();
    const environments = [{}, { XDG_DATA_HOME: node_path_1.default.join(home, "xdg") }, { JUPYTER_DATA_DIR: node_path_1.default.join(home, "own") }];
    for (const env of environments.map((own) => ({ HOME: home, ...own }))) {
        succeed(["install", "--user"], env);
        strict_1.default.ok((0, node_fs_1.existsSync)(node_path_1.default.join(dataDir(env), "kernels", "saelab", "kernel.json")), JSON.stringify(env));
        strict_1.default.equal((0, kernelspec_1.userDataFolder)(env, "linux", home), dataDir(env));
    }
    strict_1.default.equal((0, kernelspec_1.userDataFolder)({}, "darwin", "/Users/a"), "/Users/a/Library/Jupyter");
    strict_1.default.equal((0, kernelspec_1.userDataFolder)({ APPDATA: "/Roaming" }, "win32", "/a"), "/Roaming/jupyter");
    const venv = folder("venv");
    (0, node_fs_1.mkdirSync)(node_path_1.default.join(venv, "bin"));
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(venv, "bin", "python"), "");
    strict_1.default.ok(succeed(["install"], { SAELAB_VENV: venv, HOME: home }).includes(node_path_1.default.join(kernelsOf(venv), "saelab")));
    const data = folder("data");
    strict_1.default.ok(succeed(["install"], { SAELAB_VENV: venv, JUPYTER_DATA_DIR: data }).includes(node_path_1.default.join(data, "kernels", "saelab")));
});
(0, node_test_1.test)("what cannot be meant is refused in words", () => {
    const prefix = folder("refused");
    strict_1.default.match(refusal(["install", "--user", "--prefix", prefix]), /--user and --prefix: expected at most one of them, found both/);
    for (const name of ["a b", "..", "ünder", "a/b", ""])
        strict_1.default.match(refusal(["install", "--prefix", prefix, "--name", name]), /--name: expected letters, digits/);
    strict_1.default.match(refusal(["install", "mine"]), /install: expected options only, found mine\. A name is given as --name NAME/);
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(prefix, "file"), "");
    strict_1.default.match(refusal(["install", "--prefix", node_path_1.default.join(prefix, "file")]), /expected to write there, found (ENOTDIR|EEXIST)/);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(prefix), ["file"]);
});
(0, node_test_1.test)("the pictures are the drawing, at their sizes", () => {
    const { Resvg } = require("@resvg/resvg-js");
    const logo = (name) => (0, node_fs_1.readFileSync)(node_path_1.default.join(package_1.packageRoot, "kernel-ext", "logo", name));
    for (const size of [32, 64]) {
        const drawn = new Resvg(logo("logo-svg.svg").toString(), { fitTo: { mode: "width", value: size }, font: { loadSystemFonts: false } }).render();
        strict_1.default.deepEqual([drawn.width, drawn.height], [size, size]);
        strict_1.default.ok(drawn.asPng().equals(logo(`logo-${size}x${size}.png`)), `logo-${size}x${size}.png: expected the drawing of logo-svg.svg; write it anew`);
    }
});
//# sourceMappingURL=kernelspec.test.js.map