import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { HookError, OptionError } from "../core/errors";
import { expandHooks, foldHooks, hookTable } from "../core/hooktable";
import { readFloats, readHeader, writeSafetensors, type TensorToWrite } from "../core/safetensors";
import type { HookRow, Model, Write } from "../core/types";
import { fileSource, writeAtomic } from "./files";
import { deviceNamed, tellDevice } from "./ondevice";
import { openModel } from "./open";
import { version } from "./package";

/** `saelab trace` and `saelab hooks`: words of a command line → calls of the library. */

export const TRACE_USAGE = `
  saelab trace MODEL                  run a model over a text, keep what places of it give, or continue the text
      --text TEXT | --ids 1,2,3       what it reads; token ids as they are
      --chat                          the text is a user's message, in the model's chat template
      --hooks layers.1,logits         places, in any spelling; layers.*.mlp: of all blocks
      --out FILE.safetensors          a float32 tensor for each place, named as asked: [tokens, width], of a pattern [heads, tokens, tokens]
      --add HOOK=FILE[:NAME]          add a vector [width], or rows [tokens, width], at a place: FILE's only tensor or NAME; repeatable
      --ablate HOOK                   set a place to zero; repeatable; changes are made in the order given
      --generate N                    print N more tokens, the most likely each; --hooks then reads prompt and continuation
      --threads N                     of ONNX Runtime (all cores)
      --device auto                   cuda, webgpu or cpu
  saelab hooks MODEL [--json]         every place of a model: name, TransformerLens' name, shape, what to know of it`;

type Print = (text: string) => void;

/**
 * Runs `saelab trace`. All is checked before the model runs; FILE is there whole or not at all.
 * @param args what stands behind the verb
 * @param print gets the continuation, and nothing else
 * @throws OptionError for words that do not fit; what openModel, run and generate throw
 */
export async function trace(args: string[], print: Print = console.log, tell: Print = console.error): Promise<void> {
  const { values, positionals, tokens } = parse(args);
  const [source, ...rest] = positionals;
  if (!source || rest.length) throw new OptionError(`trace: expected one model, found ${positionals.length ? positionals.join(" ") : "none"}. A text is given as --text "…".`);
  const { text, out, chat = false } = values;
  if ((text === undefined) === (values.ids === undefined)) throw new OptionError(`trace: expected either --text or --ids, found ${text === undefined ? "neither" : "both"}.`);
  if (chat && text === undefined) throw new OptionError("--chat: expected --text beside it, found --ids. A template is for a message.");
  const given = values.ids === undefined ? undefined : values.ids.split(",").map((id) => whole("--ids", id, 0));
  const more = values.generate === undefined ? 0 : whole("--generate", values.generate, 1);
  const spellings = (values.hooks ?? "").split(",").map((name) => name.trim()).filter(Boolean);
  if (!spellings.length && !more) throw new OptionError("trace: expected --hooks (places to keep) or --generate, found neither. saelab hooks MODEL lists the places.");
  if (spellings.length && out === undefined) throw new OptionError("trace: expected --out FILE.safetensors beside --hooks, found none.");
  if (out !== undefined) {
    if (!spellings.length) throw new OptionError("--out: expected --hooks beside it, found none: there is nothing to write.");
    checkFile(out);
  }
  const writes = tokens.flatMap((token): Write[] => {
    if (token.kind !== "option") return [];
    return token.name === "add" ? [addOf(token.value!)] : token.name === "ablate" ? [{ hook: token.value!, ablate: "zero" }] : [];
  });

  const model = await openModel(source, { ...(values.threads === undefined ? {} : { threads: whole("--threads", values.threads, 1) }), device: deviceNamed(values.device) });
  try {
    tellDevice(model, tell);
    const hooks = expandHooks(spellings, model.hooks(), model.layers, (name) => isPlace(model, name));
    for (const name of [...hooks, ...writes.map(({ hook }) => hook)]) model.hook(name); // a misspelt one is found before the model runs
    const prompt = given ?? model.tokenizer.encode(chat ? model.tokenizer.chat([{ role: "user", content: text! }]) : text!).ids;
    let ids: Int32Array = Int32Array.from(prompt);
    if (more) {
      // beside rows come the tokens; which rows is all the same
      const any = model.hooks().find(({ missing, kind }) => !missing && kind !== "pattern")!.name;
      const [document] = await model.generate([ids], { maxTokens: more, writes, hooks: [any] });
      print(document.text.slice(document.prompt));
      ids = document.ids!;
    }
    if (!hooks.length) return;
    const rows = await model.run([ids], { hooks, writes });
    const tensors = hooks.map((name): TensorToWrite => {
      const { kind, width } = rowOf(model, name);
      return { name, shape: kind === "pattern" ? [width, ids.length, ids.length] : [ids.length, width], data: rows[name] };
    });
    const changes = tokens.flatMap((token) => (token.kind === "option" && ["add", "ablate"].includes(token.name) ? `--${token.name} ${token.value}` : []));
    await writeAtomic(out!, writeSafetensors(tensors, {
      model: source, sha256: await model.hash(), ids: JSON.stringify([...ids]), version: `saelab ${version}`, ...(changes.length ? { writes: JSON.stringify(changes) } : {}),
    }));
    tell(`Wrote ${out}: ${tensors.length} ${tensors.length === 1 ? "tensor" : "tensors"} of ${ids.length} tokens.`);
  } finally {
    await model.close();
  }
}

/**
 * Runs `saelab hooks`: a table whose repeated blocks are one line each, or with --json all rows.
 * @param args what stands behind the verb
 */
export async function hooks(args: string[], print: Print = console.log): Promise<void> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { json: { type: "boolean" } } });
  if (positionals.length !== 1) throw new OptionError(`hooks: expected one model, found ${positionals.length ? positionals.join(" ") : "none"}.`);
  const model = await openModel(positionals[0], { device: "cpu" }); // nothing is computed
  try {
    const rows = model.hooks();
    if (values.json) return print(JSON.stringify({ model: model.source, family: model.family, layers: model.layers, width: model.width, hooks: rows }, null, 1));
    print(`${model.describe().split("\n")[0]}\n\n${hookTable(foldHooks(rows))}`);
  } finally {
    await model.close();
  }
}

/** The row of a place, by any of its names. */
function rowOf(model: Model, name: string): HookRow {
  const { name: ours } = model.hook(name);
  return model.hooks().find((row) => row.name === ours)!;
}

/** Whether a name is one of a model's places, in any spelling. */
export function isPlace(model: Model, name: string): boolean {
  try {
    return Boolean(model.hook(name));
  } catch (error) {
    if (error instanceof HookError) return false;
    throw error;
  }
}

const parse = (args: string[]) => parseArgs({
  args, allowPositionals: true, tokens: true,
  options: {
    text: { type: "string" }, ids: { type: "string" }, hooks: { type: "string" }, out: { type: "string" }, chat: { type: "boolean" },
    add: { type: "string", multiple: true }, ablate: { type: "string", multiple: true }, generate: { type: "string" }, threads: { type: "string" }, device: { type: "string" },
  },
});

function whole(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!text.trim() || !Number.isSafeInteger(value) || value < least) throw new OptionError(`${option}: expected ${option === "--ids" ? "token ids, separated by commas" : `a whole number from ${least}`}, found ${JSON.stringify(text)}.`);
  return value;
}

/** Before the model runs: what could only fail at the end. */
function checkFile(out: string): void {
  const folder = dirname(resolve(out));
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new OptionError(`--out ${out}: expected the folder ${folder}, found none. Make it first.`);
  if (existsSync(out) && statSync(out).isDirectory()) throw new OptionError(`--out ${out}: expected a file's name, found a folder.`);
}

/** HOOK=FILE or HOOK=FILE:NAME. */
function addOf(setting: string): Write {
  const at = setting.indexOf("=");
  if (at < 1 || at === setting.length - 1) throw new OptionError(`--add: expected HOOK=FILE.safetensors or HOOK=FILE.safetensors:NAME, found ${setting}.`);
  const [hook, path] = [setting.slice(0, at), setting.slice(at + 1)];
  const colon = path.lastIndexOf(":");
  const [file, name] = existsSync(path) || colon < 1 ? [path] : [path.slice(0, colon), path.slice(colon + 1)];
  if (!existsSync(file)) throw new OptionError(`--add ${hook}: expected the file ${file}, found none.`);
  const source = fileSource(file);
  try {
    const { tensors } = readHeader(source, file);
    const names = [...tensors.keys()];
    if (name === undefined && names.length !== 1) throw new OptionError(`--add ${hook}: ${file}: expected one tensor, found ${names.length}${names.length ? ` (${names.slice(0, 8).join(", ")}${names.length > 8 ? ", …" : ""})` : ""}. Say which: --add ${hook}=${file}:NAME.`);
    const info = tensors.get(name ?? names[0]);
    if (!info) throw new OptionError(`--add ${hook}: ${file}: expected the tensor "${name}", found ${names.slice(0, 8).join(", ")}${names.length > 8 ? ", …" : ""}.`);
    if (info.shape.length < 1 || info.shape.length > 2) throw new OptionError(`--add ${hook}: ${file}: expected a vector [width] or rows [tokens, width], found [${info.shape.join(", ")}].`);
    return { hook, add: readFloats(source, info) };
  } finally {
    source.close();
  }
}
