#!/usr/bin/env node
"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_path_1 = __importDefault(require("node:path"));
const node_util_1 = require("node:util");
const errors_1 = require("../core/errors");
const kernelspec_1 = require("./kernelspec");
const package_1 = require("./package");
const publish_1 = require("./publish");
const USAGE = `saelab ${package_1.version}

  saelab setup                        Python, TensorFlow binding and kernelspec for this project
  saelab install                      register the kernel with Jupyter: in set-up's .venv, or for the user where there is none
      --user                          for the user: whatever Jupyter he or she starts finds it
      --prefix DIR                    in DIR/share/jupyter: a virtual environment, a conda environment, /usr/local
      --name NAME                     what notebooks ask for (saelab)
      --display-name TEXT             what menus show (TypeScript (saelab))
  saelab uninstall                    take it away again; --user, --prefix and --name as for install
  saelab publish NOTEBOOK [OUT.html]  run a notebook in a fresh kernel, write one offline page
      --set NAME=VALUE                value (a TypeScript expression) for the cell tagged "parameters"; repeatable
      --keep OUT.ipynb                also keep the executed notebook
      --open                          open the page where there is a desktop
  saelab demo                         publish notebooks/first-look.ipynb to reports/first-look.html and open it (in a clone)
`;
async function main() {
    const { values, positionals } = (0, node_util_1.parseArgs)({
        allowPositionals: true,
        options: {
            set: { type: "string", multiple: true }, keep: { type: "string" }, open: { type: "boolean" },
            user: { type: "boolean" }, prefix: { type: "string" }, name: { type: "string" }, "display-name": { type: "string" },
            help: { type: "boolean", short: "h" }, version: { type: "boolean" },
        },
    });
    const [verb, ...words] = positionals;
    if (values.version)
        return void console.log(package_1.version);
    if (values.help || !verb)
        return void console.log(USAGE);
    switch (verb) {
        case "setup":
            process.exitCode = (0, node_child_process_1.spawnSync)(process.execPath, [node_path_1.default.join(package_1.packageRoot, "kernel-ext", "setup.mjs")], { stdio: "inherit" }).status ?? 1;
            return;
        case "install":
        case "uninstall": {
            if (words.length)
                throw new errors_1.OptionError(`${verb}: expected options only, found ${words.join(" ")}. A name is given as --name NAME.`);
            const folder = verb === "install" ? (0, kernelspec_1.installKernel)({ ...values, displayName: values["display-name"] }) : (0, kernelspec_1.uninstallKernel)(values);
            return void console.log(`${verb === "install" ? "Wrote" : "Removed"} the kernel ${node_path_1.default.basename(folder)}: ${folder}`);
        }
        case "demo":
            if (!(0, node_fs_1.existsSync)(node_path_1.default.join(package_1.packageRoot, "notebooks"))) {
                throw new errors_1.OptionError("demo: expected the notebooks and data of a clone, found an installed package. Clone the repository and run npm run demo there.");
            }
            return show(await (0, publish_1.publish)(node_path_1.default.join(package_1.packageRoot, "notebooks", "first-look.ipynb"), node_path_1.default.resolve("reports", "first-look.html"), {
                notebook: node_path_1.default.resolve("reports", "first-look.ipynb"), open: true,
            }));
        case "publish": {
            const [notebook, out = notebook?.replace(/\.ipynb$/, "") + ".html"] = words;
            if (!notebook)
                throw new errors_1.OptionError("publish: expected a notebook, found none: saelab publish NOTEBOOK [OUT.html].");
            const parameters = Object.fromEntries((values.set ?? []).map((setting) => {
                const at = setting.indexOf("=");
                if (at < 1)
                    throw new errors_1.OptionError(`--set: expected NAME=VALUE, found ${setting}.`);
                return [setting.slice(0, at), setting.slice(at + 1)];
            }));
            return show(await (0, publish_1.publish)(notebook, out, { parameters, notebook: values.keep, open: values.open }));
        }
        default:
            throw new errors_1.OptionError(`expected a verb (setup, install, uninstall, publish, demo), found ${verb}${(0, node_fs_1.existsSync)(verb) ? `: did you mean saelab publish ${verb}?` : ""}.`);
    }
}
const show = (page) => console.log(`\nReport: ${page}`);
main().catch((error) => {
    console.error(`saelab: ${error.message}`);
    process.exitCode = 1;
});
//# sourceMappingURL=cli.js.map