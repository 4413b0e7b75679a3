import { describeKind } from "./sae";
import type { SaeFormat, SaeWeights } from "./types";

/**
 * README.md of a saved SAE, as the hub shows it: what it is, how it was made and measured, the hashes of its files, how to load it.
 * @see https://huggingface.co/docs/hub/model-cards (the block on top)
 */
export function modelCard(
  weights: SaeWeights, { hook, card, format, files }: { hook?: string; card: Record<string, unknown>; format: SaeFormat; files: { name: string; bytes: number; sha256: string }[] },
): string {
  const { d, dOut = d, latents, k, kind = "topk" } = weights;
  const model = modelOf(card);
  const number = (n: number): string => n.toLocaleString("en");
  const known = new Set(["hook", "latents", "k", "d", "warnings"]);
  const measured = card.preflight as { says?: unknown } | undefined; // its sentence says it; the table of all places is in saelab.json
  const facts = flat({ ...card, preflight: measured?.says }).filter(([name]) => !known.has(name.split(".")[0]));
  const table = (rows: [string, string][]): string => ["| | |", "|---|---|", ...rows.map(([name, value]) => `| ${cell(name)} | ${cell(value)} |`)].join("\n");
  return [
    "---", `tags: [sparse-autoencoder, ${format}]`, ...(model && /^[\w.-]+\/[\w.-]+$/.test(model) ? [`base_model: ${model}`] : []), "---", "",
    `# ${describeKind(weights).replace(/^a/, "A")}${hook ? ` for ${hook}` : ""}${model ? ` of ${model}` : ""}`, "",
    table([
      ["latents", number(latents)], ["width", dOut === d ? number(d) : `${number(d)} to ${number(dOut)}`],
      ...(kind === "topk" || kind === "groupmax" ? [["active a row", number(k)] as [string, string]] : []), ...(hook ? [["hook", hook] as [string, string]] : []), ["layout", format],
    ]), "",
    ...(facts.length ? ["## How it was made", "", table(facts), ""] : []),
    "## Files", "",
    "| file | bytes | SHA-256 |", "|---|---|---|", ...files.map(({ name, bytes, sha256 }) => `| ${name} | ${number(bytes)} | \`${sha256}\` |`), "",
    "## Use", "", "```ts", 'import { loadSae } from "saelab";', `const sae = await loadSae("this folder"${hook ? `, { hook: "${hook}" }` : ""});`, "```", "",
  ].join("\n");
}

/** The model's name that a card tells, as text or as { source }. */
export function modelOf(card: Record<string, unknown>): string | undefined {
  const { model } = card;
  const source = typeof model === "object" && model !== null ? (model as { source?: unknown }).source : model;
  return typeof source === "string" ? source : undefined;
}

/** The hook that a transcoder predicts, by its card. */
export const targetOf = ({ target }: Record<string, unknown>): string | undefined => (typeof target === "string" ? target : undefined);

/** Fields of fields as "texts.tokens"; lists as JSON. */
const flat = (value: Record<string, unknown>, before = ""): [string, string][] => Object.entries(value).flatMap(([name, field]): [string, string][] => {
  if (field === undefined || field === null) return [];
  if (typeof field === "object" && !Array.isArray(field)) return flat(field as Record<string, unknown>, `${before}${name}.`);
  return [[before + name, typeof field === "string" ? field : JSON.stringify(field)]];
});

const cell = (text: string): string => text.replace(/[\r\n]+/g, " ").replaceAll("|", "\\|").slice(0, 300);
