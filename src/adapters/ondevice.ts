import { chooseDevice, foundDevices, type Chosen, type Device, type Found, type Missing } from "../core/device";
import { chooseCard, sameName } from "../core/cards";
import { EngineError, ModelError, OptionError } from "../core/errors";
import type { Model, ModelDevice } from "../core/types";
import { checkDevice, type Checked } from "./devicecheck";
import { cardFacts, findDevices, hardware, hasGraphics, onnxFacts, webgpuFacts } from "./devices";
import { judgeNvidia, readNvidia, usableCards } from "./nvidia";
import { CPU, type Provider } from "./providers";
import type { RuntimeSettings } from "./runtime";
import type { GraphSource } from "./source";

/** Where a model is opened: what there is, whether it computes this model as the CPU does, and what is said of it. */

let found: Promise<Found> | undefined;

/** Asked once a process. Where there is no graphics card "auto" does not ask Dawn, which would start a child to find the same. */
function findHere(asked: "auto" | Device): Promise<Found> {
  const machine = hardware();
  if (asked !== "auto" || hasGraphics(machine)) return (found ??= findDevices("harvest"));
  const missing: Missing = { there: false, why: "not asked" }, cards = cardFacts(machine);
  return Promise.resolve(foundDevices("harvest", { ...machine, ...cards, engine: missing, webgpu: webgpuFacts(missing, machine, cards.nvidia), onnx: onnxFacts(machine) }));
}

/**
 * Of "auto" the best device that computes this model as the CPU does; a card that does not is told in a warning. One that was asked for
 * is taken, or refused.
 * @param find tests find other devices
 * @throws ModelError when a device that was asked for gives other numbers; EngineError when it cannot run the model; OptionError
 */
export async function onDevice(
  what: string, source: GraphSource, settings: RuntimeSettings, asked: "auto" | Device, find = (): Promise<Found> => findHere(asked), check = checkDevice,
): Promise<{ source: GraphSource; provider: Provider; device: ModelDevice }> {
  if (asked === "cpu") return { source, provider: CPU, device: { device: "cpu", name: CPU.name, instead: [] } };
  let there = await find();
  for (;;) {
    const chosen = chooseDevice("harvest", there, asked);
    const provider = providerOf(chosen);
    if (provider.device === "cpu") return { source, provider, device: deviceOf(chosen) };
    let why: string;
    try {
      const checked = await check(what, source, { ...settings, provider });
      if (checked.difference <= checked.allowed) {
        const offered = checked.noPatterns ? { ...source, rows: source.rows.map((row) => (row.kind === "pattern" && !row.missing ? { ...row, missing: NO_PATTERNS } : row)) } : source;
        return { source: offered, provider, device: { ...deviceOf(chosen), checked: wordsOf(checked) } };
      }
      why = `${checked.at} differs from the CPU's by ${share(checked.difference)} of a row's largest number, where rounding gives less than ${share(checked.allowed)}`;
      if (asked !== "auto") {
        throw new ModelError(
          `${what}: device: "${asked}": expected the CPU's numbers from ${chosen.name}, found others: ${why}. This provider of ONNX Runtime does not compute ` +
          'something of this model, and does not say so. Open it with { device: "cpu" }.');
      }
    } catch (error) {
      // it cannot run the model, or not hold it
      if (asked !== "auto" || !(error instanceof EngineError || error instanceof ModelError)) throw error;
      why = error.message.replace(`${what}: `, "").replace(/^ONNX Runtime: /, "").split("\n")[0].replace(/\.$/, "");
    }
    process.emitWarning(`${what}: not computed on ${chosen.name} (${chosen.device}): ${why}.`, "SaelabWarning");
    there = { ...there, [chosen.device]: { there: false, why: `${chosen.name}: ${why}` } };
  }
}

const NO_PATTERNS = "on a graphics card the operator of this file's graph does not give it: open the model with { device: \"cpu\" }, or its checkpoint in safetensors";

const share = (ratio: number): string => (ratio < 0.01 ? ratio.toExponential(1) : ratio.toPrecision(2));

const deviceOf = ({ device, name, instead, note }: Chosen): ModelDevice => ({ device: device as ModelDevice["device"], name, instead, ...(note ? { note } : {}) });

/** With several cards, CUDA shows that one only which is meant: the library reads the variable when it is first used. WebGPU tells no memory; NVIDIA's driver does. */
function providerOf({ device, name }: Chosen): Provider {
  const provider: Provider = { device: device as Provider["device"], name };
  if (device === "cpu") return provider;
  const nvidia = readNvidia();
  if (!nvidia.there) return provider;
  const { cards } = nvidia;
  if (device === "webgpu") {
    const same = cards.filter((card) => sameName(card.name, name));
    return same.length === 1 && same[0].free ? { ...provider, memory: same[0].free } : provider;
  }
  const { visible, card } = chooseCard({ there: true, cards: usableCards(nvidia, judgeNvidia(nvidia).onnx) }, process.env, cards.length);
  if (visible) process.env.CUDA_VISIBLE_DEVICES = visible;
  return { ...provider, name: card?.name ?? name, ...(card?.free ? { memory: card.free } : {}) };
}

/** "197 tokens at 92 places of blocks 0, 1, 2 agree with the CPU's to 3.3e-6 of a row's largest number (5.2 s)" */
function wordsOf({ tokens, places, blocks, difference, at, device, cpu, milliseconds }: Checked): string {
  const left = Object.entries(cpu);
  const count = left.reduce((sum, [, n]) => sum + n, 0);
  return `${tokens} tokens at ${places} places, of blocks ${blocks.join(", ")} and of the head, agree with the CPU's to ${share(difference)} of a row's largest number ` +
    `(farthest at ${at}; compared in ${(milliseconds / 1000).toFixed(1)} s). ` +
    (count ? `Of ${device + count} operators ${count} ${count > 1 ? "are" : "is"} left to the CPU (${left.map(([op, n]) => (n > 1 ? `${n} ${op}` : op)).join(", ")}).` : `All ${device} operators run there.`);
}

/** @throws OptionError where openModel does not know it: found before anything is read */
export function deviceNamed(word: string | undefined): "auto" | ModelDevice["device"] | undefined {
  if (word === undefined || ["auto", "cuda", "webgpu", "cpu"].includes(word)) return word as ReturnType<typeof deviceNamed>;
  throw new OptionError(`--device: expected auto, cuda, webgpu or cpu, found ${word}.`);
}

/** In lines before the work: of a card, how it compares with the CPU; and what would make a better device of what there is, which is not to be missed in silence. */
export function tellDevice({ device }: Model, tell = (line: string): void => void process.stderr.write(`${line}\n`)): void {
  if (!device) return;
  if (device.device !== "cpu") tell(`Computed on ${device.name} (${device.device}). ${device.checked ?? ""}`.trim());
  for (const { device: better, why, cure } of device.instead) if (cure) tell(`Computed on "${device.device}" and not on "${better}": ${why}. To cure it: ${cure}`);
}
