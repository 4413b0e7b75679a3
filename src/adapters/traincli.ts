import { join } from "node:path";
import { OptionError } from "../core/errors";
import { describeKind } from "../core/sae";
import type { Sae, TrainKind } from "../core/types";
import { list, parsed, untilSignal } from "./harvestcli";
import { deviceNamed } from "./ondevice";
import { openModel } from "./open";
import { openStore } from "./store";
import { readTexts } from "./texts";
import { trainSaes, type SaeOptions, type SharedOptions } from "./train";
import { trainingDisplay } from "./traindisplay";

export const TRAIN_USAGE = `  saelab train STORE                  an SAE on a store's rows; saelab train MODEL TEXTS: on a model's while it runs
      --latents N --k N --out DIR     a list of either (4096,8192) trains all pairs in one pass, each in a folder of DIR
      --kind topk                     batchtopk, multitopk, groupmax, matryoshka or jumprelu
      --hook A                        A,B: a crosscoder; --target C: a transcoder, --skip: with W_skip
      --tokens N, --batch N           rows to see (each once), rows of a step (1024)
      --learning-rate X, --dead-after N, --aux-k X, --seed N
      --step auto                     fused, stock or plain
      --device auto                   cuda, webgpu, cpu or wasm; a running model's too
      --resume                        go on from the checkpoint in DIR; --no-resume: begin anew over it
      --checkpoint-steps N, --checkpoint-minutes X    how often (10 minutes)
      --buffer BYTES                  of rows of a running model that wait to be mixed
      --log FILE, --tensorboard DIR   the curve as JSON lines, as event files
      --no-evaluate                   no measures on held-out rows
      --json                          what was measured, as JSON
`;

/**
 * `saelab train STORE --latents N --k N --out DIR`. Progress goes to stderr, what was measured to stdout. A signal stops it after the
 * step, with a checkpoint from which --resume goes on; a second one at once.
 * @returns exit code: 0, or 130 and 143 when SIGINT and SIGTERM stopped it
 * @throws OptionError, and what openStore, openModel, readTexts and trainSaes throw
 */
export async function trainCommand(args: string[]): Promise<number> {
  const { values, positionals: [source, texts, ...more] } = parsed("train", args, {
    latents: { type: "string" }, k: { type: "string" }, out: { type: "string" }, kind: { type: "string" }, hook: { type: "string" }, target: { type: "string" }, skip: { type: "boolean" },
    tokens: { type: "string" }, batch: { type: "string" }, "learning-rate": { type: "string" }, "dead-after": { type: "string" }, "aux-k": { type: "string" }, seed: { type: "string" },
    step: { type: "string" }, device: { type: "string" }, resume: { type: "boolean" }, "no-resume": { type: "boolean" }, "checkpoint-steps": { type: "string" }, "checkpoint-minutes": { type: "string" },
    buffer: { type: "string" }, log: { type: "string" }, tensorboard: { type: "string" }, "no-evaluate": { type: "boolean" }, json: { type: "boolean" },
  });
  const usage = "saelab train STORE --latents N --k N --out DIR";
  if (!source || more.length) throw new OptionError(`train: expected STORE, or MODEL and TEXTS, found ${[source, texts, ...more].filter(Boolean).join(" ") || "neither"}: ${usage}.`);
  for (const name of ["latents", "k", "out"] as const) if (!values[name]) throw new OptionError(`--${name}: expected it, found none: ${usage}.`);
  if (values.resume && values["no-resume"]) throw new OptionError("--resume: expected it or --no-resume, found both.");
  const number = (name: string, text: string): number => {
    if (/^\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return Number(text);
    throw new OptionError(`--${name}: expected a number, found ${text}.`);
  };
  const optional = (name: "tokens" | "batch" | "learning-rate" | "dead-after" | "aux-k" | "seed" | "checkpoint-steps" | "checkpoint-minutes" | "buffer"): number | undefined =>
    values[name] === undefined ? undefined : number(name, values[name]);
  const several = (text: string | undefined): string | string[] | undefined => {
    const words = text === undefined ? [] : list(text);
    return words.length > 1 ? words : words[0];
  };
  const out = values.out!;
  const pairs = list(values.latents!).flatMap((latents) => list(values.k!).map((k) => ({ latents: number("latents", latents), k: number("k", k) })));
  const saes = pairs.map((pair): SaeOptions => {
    const name = `latents-${pair.latents}-k-${pair.k}`, one = pairs.length === 1;
    const own = (path: string | undefined, end = ""): string | undefined => (path === undefined || one ? path : join(path, name + end));
    return {
      ...pair, kind: values.kind as TrainKind | undefined, hook: several(values.hook), target: several(values.target), skip: values.skip,
      learningRate: optional("learning-rate"), deadAfter: optional("dead-after"), auxK: optional("aux-k"), seed: optional("seed"), step: values.step as SaeOptions["step"],
      folder: own(out), log: own(values.log, ".jsonl"), tensorboard: own(values.tensorboard),
    };
  });
  const [steps, minutes] = [optional("checkpoint-steps"), optional("checkpoint-minutes")];
  const shared: SharedOptions & { folder: string } = {
    folder: out, tokens: optional("tokens"), batch: optional("batch"), seed: optional("seed"), buffer: optional("buffer"),
    checkpoint: { steps, minutes }, device: values.device as SharedOptions["device"],
    resume: values.resume ? true : values["no-resume"] ? false : undefined, evaluate: !values["no-evaluate"], view: trainingDisplay(),
  };
  return untilSignal(() => work().catch((error: unknown) => {
    if (error instanceof Error) error.message = forShell(error.message);
    throw error;
  }));

  async function work(): Promise<void> {
    if (texts === undefined) {
      const store = await openStore(source);
      try {
        report(await trainSaes(store, saes, shared));
      } finally {
        store.close();
      }
      return;
    }
    const documents = await readTexts(texts);
    const model = await openModel(source, { device: values.device === "wasm" ? "cpu" : deviceNamed(values.device) });
    try {
      report(await trainSaes(model, saes, { ...shared, documents }));
    } finally {
      await model.close();
    }
  }

  function report(trained: Sae[]): void {
    if (values.json) return void console.log(JSON.stringify(trained.map(({ card }, i) => ({ folder: saes[i].folder, ...card }))));
    trained.forEach((sae, i) => console.log(summary(saes[i].folder!, sae)));
  }
}

/** What trainSaes says of its options and of the error's properties, as one says it in a shell. */
const forShell = (message: string): string => message
  .replace(/ and in this error's `saes?` \(in a notebook: [\w.]+\)/, "")
  .replace("The same call with resume: true goes on", "The same command with --resume goes on")
  .replace("resume: expected true or false,", "--resume: expected it or --no-resume,")
  .replace("true goes on from it, false begins anew and removes it", "--resume goes on from it, --no-resume begins anew and removes it")
  .replace('Begin with resume: false, or "auto", which goes on only where there is something', "Begin without --resume")
  .replace("on: { tokens: 1e6 }", "on: --tokens 1e6")
  .replace(/^trainSaes?: /, "");

/** "saes/mlp: a topk SAE, 4,096 latents, k 32, of layers.1; 1,000,448 tokens in 977 steps; held-out FVU 0.1234, L0 31.9, dead 0.4 %; fused step; 61 s" */
function summary(folder: string, { weights, card, curve }: Sae): string {
  const count = (n: unknown): string => (n as number).toLocaleString("en");
  const held = card.metrics as { fvu: number; l0: number; dead: number; split: string } | undefined;
  const last = curve?.at(-1);
  const measures = held ?? (last && { fvu: last.fvu, l0: last.l0 ?? NaN, dead: last.dead, split: "last batches'" });
  const target = card.target === undefined ? "" : ` to ${[card.target].flat().join(" + ")}`;
  return [
    `${folder}: ${describeKind(weights)}, ${count(weights.latents)} latents, k ${card.k as number}, of ${[card.hook].flat().join(" + ")}${target}`,
    `${count((card.steps as number) * (card.batch as number))} tokens in ${count(card.steps)} steps`,
    ...(measures ? [`${measures.split === "heldout" ? "held-out" : measures.split} FVU ${measures.fvu.toFixed(4)}, L0 ${measures.l0.toFixed(1)}, dead ${(100 * measures.dead).toFixed(1)} %`] : []),
    `${card.step} step${typeof card.withoutFused === "string" ? ` (${card.withoutFused})` : ""}`,
    `${Math.round(card.seconds as number)} s`,
  ].join("; ");
}
