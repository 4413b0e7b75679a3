/**
 * What set-up installs on this machine, and why: which TensorFlow, and whether ONNX Runtime gets its CUDA provider.
 * Pure: what was found goes in, a decision comes out. Node built-ins only.
 *
 * @typedef {"auto" | "cpu" | "cuda" | "none"} Asked
 * @typedef {{ name: string, text: string, cure?: string }} Line  one line of what set-up says
 * @typedef {{ tensorflow: "cpu" | "cuda" | "none", onnx: "cuda" | "cpu", lines: Line[], disk: number }} Plan  disk: bytes of a set-up from nothing
 */

/**
 * Bytes on disk, with some to spare: node_modules 1.4 GB, .venv 0.8 GB and TensorFlow 0.7 GB; CUDA's TensorFlow with its libraries 5.2 GB and ONNX
 * Runtime's provider with its own 2.4 GB, each beside its downloads (3.3 and 1.6 GB) while it is unpacked.
 */
const DISK = { none: 3e9, cpu: 5e9, cuda: 12e9, onnx: 1e9 };

const FLAGS = { "--auto": "auto", "--cpu": "cpu", "--cuda": "cuda", "--no-tensorflow": "none" };
const NAME = { cpu: "the CPU", cuda: "CUDA" };
const HOW = Object.fromEntries(Object.entries(FLAGS).map(([flag, asked]) => [asked, flag]));

/**
 * Options of set-up: what was asked for, and who asked.
 * @param {string[]} words the command's
 * @param {string | undefined} device SAELAB_DEVICE
 * @param {string | undefined} kept what an earlier set-up of this environment was asked for
 * @returns {{ asked: Asked, by: "option" | "SAELAB_DEVICE" | "earlier" | "nobody", testing: boolean, planning: boolean }}
 * @throws Error with the expected words, for any other
 */
function readOptions(words, device, kept) {
  const others = words.filter((word) => !(word in FLAGS) && word !== "--test" && word !== "--plan");
  if (others.length) throw new Error(`${others[0]}: expected ${[...Object.keys(FLAGS), "--plan", "--test"].join(", ")}.`);
  const flags = words.filter((word) => word in FLAGS);
  if (flags.length > 1) throw new Error(`${flags.join(" ")}: expected at most one of them.`);
  if (device && !(device in HOW)) throw new Error(`SAELAB_DEVICE: expected ${Object.keys(HOW).join(", ")}, found ${device}.`);
  const rest = { testing: words.includes("--test"), planning: words.includes("--plan") };
  if (flags.length) return { asked: FLAGS[flags[0]], by: "option", ...rest };
  if (device) return { asked: device, by: "SAELAB_DEVICE", ...rest };
  if (kept && kept in HOW && kept !== "auto") return { asked: kept, by: "earlier", ...rest };
  return { asked: "auto", by: "nobody", ...rest };
}

/** What to say of one who asked. */
const askedHow = ({ asked, by }) =>
  (by === "earlier" ? `asked for in an earlier set-up; ${HOW.auto} chooses anew` : by === "option" ? HOW[asked] : `${by}=${asked}`);

/**
 * @param {{
 *   options: { asked: Asked, by: string }, platform: string, arch: string, python: string,
 *   found: import("../nvidia.cjs").Driver | import("../nvidia.cjs").NoDriver, judged: ReturnType<typeof import("../nvidia.cjs").judgeNvidia>,
 *   before?: { tensorflow?: "cpu" | "cuda", onnx?: boolean }, shared?: boolean,
 * }} machine  python: "3.12"; before: what the environment has already; shared: it is another's (SAELAB_VENV), and stays as it is
 * @returns {Plan}
 * @throws Error where what was asked for cannot be had: CUDA on this platform, another TensorFlow than a shared environment has
 */
function choosePlan({ options, platform, arch, python, found, judged, before = {}, shared = false }) {
  const lines = [];
  const { asked } = options;
  const say = (name, text, cure) => lines.push({ name, text, ...(cure ? { cure } : {}) });
  const system = `${platform} ${arch}`;
  if (platform !== "linux" || arch !== "x64") {
    if (asked === "cuda") throw new Error(`${askedHow(options)}: expected Linux on x86-64, found ${system}.`);
    const models = system === "darwin x64" ? "" : " models,"; // of ONNX Runtime there is nothing for a Mac with Intel's processor
    say("engine", `no TensorFlow for ${system}: the kernel,${models} and training on WebGPU work; encoding and scores run in WebAssembly` +
      `${models ? "" : ". Models do not run: ONNX Runtime has nothing for it"}`);
    return { tensorflow: "none", onnx: "cpu", lines, disk: DISK.none };
  }
  if (found.there) {
    say("card", `${found.cards.map((card) => `${card.name}${card.memory ? `, ${(card.memory / 2 ** 30).toFixed(0)} GiB` : ""}`).join("; ") || "none"}: ` +
      `driver ${found.driver}${found.cuda ? ` (CUDA ${found.cuda})` : ""}${found.wsl ? ", WSL2" : ""}`);
  } else if (found.cure) say("card", found.why, found.cure); // a card that cannot be used; where there is none nothing is to be said
  if (asked === "none") {
    say("engine", `without TensorFlow (${askedHow(options)}): no binding, no fused step; the kernel, models, and training on WebGPU work`);
    return { tensorflow: "none", onnx: "cpu", lines, disk: DISK.none };
  }
  if (shared) {
    const has = before.tensorflow;
    if (asked !== "auto" && asked !== has || !has) {
      throw new Error(`SAELAB_VENV: expected TensorFlow${asked === "auto" ? "" : ` for ${NAME[asked]} (${askedHow(options)})`} in that environment, found ` +
        `${has ? `that for ${NAME[has]}` : "none"}; it is left as it is. Install it there (kernel-ext/requirements${asked === "cuda" ? "-cuda" : ""}.txt has the versions).`);
    }
    if (has === "cpu" && judged.tensorflow.ok) say("engine", "TensorFlow for the CPU, as SAELAB_VENV has it, though there is a card for CUDA");
    return { tensorflow: has, onnx: before.onnx ? "cuda" : "cpu", lines, disk: DISK.none };
  }
  if (asked === "cpu") {
    say("engine", `TensorFlow for the CPU (${askedHow(options)})`);
    return { tensorflow: "cpu", onnx: "cpu", lines, disk: DISK.cpu };
  }
  const { tensorflow, onnx } = judged;
  const forced = asked === "cuda";
  // A driver that is away for once, as in a container started without it, is no reason to install again: CUDA's build computes on the CPU as well.
  const keeping = !forced && !found.there && before.tensorflow === "cuda";
  if (!tensorflow.ok && !forced && !keeping) {
    if (found.there) say("engine", `TensorFlow for the CPU: ${tensorflow.why}`, tensorflow.cure);
    return { tensorflow: "cpu", onnx: "cpu", lines, disk: DISK.cpu };
  }
  if (tensorflow.ok) say("engine", `TensorFlow for CUDA${forced ? ` (${askedHow(options)})` : ""}${tensorflow.note ? `; ${tensorflow.note}` : ""}`);
  else if (keeping) say("engine", `TensorFlow for CUDA is kept, and computes on the CPU: ${tensorflow.why}. ${HOW.cpu} would take it away`);
  else say("engine", `TensorFlow for CUDA (${askedHow(options)}), which will compute on the CPU: ${tensorflow.why}`, tensorflow.cure);
  const tooOld = Number(python.split(".")[1]) < 11; // onnxruntime-gpu's wheels begin there
  const wanted = keeping ? before.onnx === true : onnx.ok || (forced && !found.there);
  if (tooOld && wanted) say("models", "run on the CPU or WebGPU: ONNX Runtime's CUDA provider comes for Python 3.11 or newer", "PYTHON=/path/to/python3.12, and remove .venv");
  else if (!wanted && !keeping) say("models", `run on the CPU or WebGPU: ${onnx.why}`, onnx.cure);
  else if (onnx.note) say("models", `run on CUDA; ${onnx.note}`);
  const provider = wanted && !tooOld;
  return { tensorflow: "cuda", onnx: provider ? "cuda" : "cpu", lines, disk: DISK.cuda + (provider ? DISK.onnx : 0) };
}

module.exports = { readOptions, choosePlan, DISK };
