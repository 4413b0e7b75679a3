#!/usr/bin/env node
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { OptionError } from "../core/errors";
import { DOCTOR_USAGE, doctorCommand } from "./doctorcli";
import { ENCODE_USAGE, encodeCommand } from "./encodecli";
import { EVALUATE_USAGE, evaluateCommand } from "./evaluatecli";
import { HARVEST_USAGE, harvestCommand, mergeCommand } from "./harvestcli";
import { installKernel, uninstallKernel } from "./kernelspec";
import { packageRoot, version } from "./package";
import { publish } from "./publish";
import { hooks, trace, TRACE_USAGE } from "./tracecli";
import { TRAIN_USAGE, trainCommand } from "./traincli";

const USAGE = `saelab ${version}

  saelab setup                        Python, TensorFlow and its binding, kernelspec for this project; with an NVIDIA card CUDA's libraries
      --cuda, --cpu                   TensorFlow for cards, or for the CPU, whatever is found; remembered
      --no-tensorflow                 without it: the kernel, models and WebGPU remain; remembered
      --auto                          let what is found decide again
      --plan                          change nothing, say as JSON what would be done
  saelab install                      register the kernel with Jupyter, and JupyterLab's extension beside it: in set-up's .venv, or for the user where there is none
      --user                          for the user: whatever Jupyter he or she starts finds it
      --prefix DIR                    in DIR/share/jupyter: a virtual environment, a conda environment, /usr/local
      --name NAME                     what notebooks ask for (saelab)
      --display-name TEXT             what menus show (TypeScript (saelab))
  saelab uninstall                    take it away again; --user, --prefix and --name as for install
${DOCTOR_USAGE}  saelab publish NOTEBOOK [OUT.html]  run a notebook in a fresh kernel, write one offline page
      --set NAME=VALUE                value (a TypeScript expression) for the cell tagged "parameters"; repeatable
      --keep OUT.ipynb                also keep the executed notebook
      --open                          open the page where there is a desktop
${HARVEST_USAGE}${TRAIN_USAGE}${ENCODE_USAGE}${EVALUATE_USAGE}  saelab demo                         publish notebooks/first-look.ipynb to reports/first-look.html and open it (in a clone)${TRACE_USAGE}
`;

async function main(): Promise<void> {
  const [first, ...rest] = process.argv.slice(2);
  if (first === "setup" && !rest.includes("--help") && !rest.includes("-h")) {
    process.exitCode = spawnSync(process.execPath, [path.join(packageRoot, "kernel-ext", "setup.mjs"), ...rest], { stdio: "inherit" }).status ?? 1;
    return;
  }
  const command = { harvest: harvestCommand, merge: mergeCommand, train: trainCommand, encode: encodeCommand, evaluate: evaluateCommand, doctor: doctorCommand, trace, hooks }[first];
  if (command) {
    if (rest.includes("--help") || rest.includes("-h")) return void console.log(usageOf(first));
    process.exitCode = (await command(rest)) ?? 0;
    return;
  }
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      set: { type: "string", multiple: true }, keep: { type: "string" }, open: { type: "boolean" },
      user: { type: "boolean" }, prefix: { type: "string" }, name: { type: "string" }, "display-name": { type: "string" },
      help: { type: "boolean", short: "h" }, version: { type: "boolean" },
    },
  });
  const [verb, ...words] = positionals;
  if (values.version) return void console.log(version);
  if (values.help || !verb) return void console.log(verb ? usageOf(verb) : USAGE);
  switch (verb) {
    case "install":
    case "uninstall": {
      if (words.length) throw new OptionError(`${verb}: expected options only, found ${words.join(" ")}. A name is given as --name NAME.`);
      const { kernel, extension } = verb === "install" ? installKernel({ ...values, displayName: values["display-name"] }) : uninstallKernel(values);
      const did = verb === "install" ? "Wrote" : "Removed";
      console.log(`${did} the kernel ${path.basename(kernel)}: ${kernel}`);
      if (extension) console.log(`${did} the JupyterLab extension: ${extension}`);
      else if (verb === "install") console.log("There is no JupyterLab extension to install: node kernel-ext/setup.mjs builds it.");
      return;
    }
    case "demo":
      if (!existsSync(path.join(packageRoot, "notebooks"))) {
        throw new OptionError("demo: expected the notebooks and data of a clone, found an installed package. Clone the repository and run npm run demo there.");
      }
      return show(await publish(path.join(packageRoot, "notebooks", "first-look.ipynb"), path.resolve("reports", "first-look.html"), {
        notebook: path.resolve("reports", "first-look.ipynb"), open: true,
      }));
    case "publish": {
      const [notebook, out = notebook?.replace(/\.ipynb$/, "") + ".html"] = words;
      if (!notebook) throw new OptionError("publish: expected a notebook, found none: saelab publish NOTEBOOK [OUT.html].");
      const parameters = Object.fromEntries((values.set ?? []).map((setting) => {
        const at = setting.indexOf("=");
        if (at < 1) throw new OptionError(`--set: expected NAME=VALUE, found ${setting}.`);
        return [setting.slice(0, at), setting.slice(at + 1)];
      }));
      return show(await publish(notebook, out, { parameters, notebook: values.keep, open: values.open }));
    }
    default:
      throw new OptionError(`expected a verb (setup, install, uninstall, doctor, publish, harvest, merge, train, encode, evaluate, trace, hooks, demo), found ${verb}${existsSync(verb) ? `: did you mean saelab publish ${verb}?` : ""}.`);
  }
}

/** What the usage says of one verb; all of it where it does not know it. */
const usageOf = (verb: string): string => USAGE.split(/\n(?=  saelab )/).find((part) => part.split(/\s+/)[2] === verb)?.trimEnd() ?? USAGE;

const show = (page: string): void => console.log(`\nReport: ${page}`);

main().catch((error: Error & { code?: string }) => {
  // of an unknown option Node also says how to pass it as a file's name, which nobody meant
  const message = error.code?.startsWith("ERR_PARSE_ARGS") ? `${error.message.split(". ")[0].replace(/\.$/, "")}. saelab VERB --help lists a verb's options.` : error.message;
  console.error(`saelab: ${message}`);
  process.exitCode = 1;
});
