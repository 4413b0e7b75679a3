import { ModelError, OptionError } from "./errors";

/**
 * Which ONNX file of a repository or folder to take: by dtype, with the names that transformers.js and the exporters give.
 * @see https://github.com/huggingface/transformers.js/blob/main/packages/transformers/src/utils/dtypes.js
 */

/** dtype → what is put behind `model` in the file's name; as transformers.js has it. */
const SUFFIXES: Record<string, string> = {
  fp32: "", fp16: "_fp16", int8: "_int8", uint8: "_uint8", q8: "_quantized", q4: "_q4", q2: "_q2", q1: "_q1",
  q4f16: "_q4f16", q2f16: "_q2f16", q1f16: "_q1f16", bnb4: "_bnb4",
};

/** Places to look at, in this order: the hub's folder, then a folder that an exporter wrote. */
const STEMS = ["onnx/model", "onnx/decoder_model", "model", "decoder_model"];

export interface OnnxChoice {
  /** Path as it stands in the list. */
  file: string;
  dtype: string;
  /** Files that hold its weights and are needed with it. */
  data: string[];
}

/** Weights beside a model file: model.onnx_data, model.onnx_data_1 …, model.onnx.data. What the file itself names decides in the end. */
export const dataFiles = (files: string[], file: string): string[] =>
  files.filter((name) => name.startsWith(file) && /^[._]data(_\d+)?$/.test(name.slice(file.length))).sort((x, y) => x.length - y.length || (x < y ? -1 : 1));

/**
 * Without a dtype: what config.json says (`transformers.js_config.dtype`), else fp32, else the only one there is.
 * @param files paths relative to the repository or folder, with /
 * @param dtype fp32, fp16, q8, int8, uint8, q4, q4f16, bnb4 …
 * @param config config.json, if there is one
 * @param where repository or folder, for messages
 * @throws OptionError for a dtype that is unknown or not there, or when there are several and none is said; ModelError when there is no ONNX file
 */
export function chooseOnnx(files: string[], dtype: string | undefined, config: unknown, where: string): OnnxChoice {
  if (dtype !== undefined && !(Object.hasOwn(SUFFIXES, dtype))) {
    throw new OptionError(`dtype: expected one of ${Object.keys(SUFFIXES).join(", ")}, found ${dtype}.`);
  }
  const list = new Set(files);
  const find = (wanted: string): string | undefined => STEMS.map((stem) => `${stem}${SUFFIXES[wanted]}.onnx`).find((name) => list.has(name));
  const present = Object.keys(SUFFIXES).filter(find);
  const said = (config as { "transformers.js_config"?: { dtype?: unknown } } | null)?.["transformers.js_config"]?.dtype;
  const preset = typeof said === "object" && said !== null ? (said as Record<string, unknown>).model : said;
  const chosen = dtype ?? [preset, "fp32", ...(present.length === 1 ? present : [])].find((one): one is string => typeof one === "string" && present.includes(one));
  const file = chosen !== undefined && find(chosen);
  if (file) return { file, dtype: chosen, data: dataFiles(files, file) };
  if (present.length) {
    throw new OptionError(`${where}: dtype: expected one of ${present.join(", ")}, which are there, found ${dtype ?? "none said, and no fp32"}. Give one of them.`);
  }
  const others = files.filter((name) => name.endsWith(".onnx"));
  const merged = others.filter((name) => name.includes("merged"));
  throw new ModelError(
    `${where}: expected onnx/model.onnx, or model.onnx, or one with a dtype behind "model", found ${others.length ? others.slice(0, 5).join(", ") + (others.length > 5 ? ` and ${others.length - 5} more` : "") : "no .onnx file"}. ` +
    (merged.length ? "Merged decoders hold two graphs and cannot be hooked: export one with Optimum (--task text-generation-with-past)."
      : others.length ? "Give the path of one of them." : "Choose a repository with ONNX weights, or open its checkpoint."));
}
