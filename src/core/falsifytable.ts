import { controlRate, share, strongestKind, type Falsified, type FalsifyVerdict, type Measure, type Rate } from "./falsify";
import { count, escapeHtml, MONO, padEnd, padStart, percent, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, shade, SMALL, smallShare } from "./html";
import type { DetectorKind } from "./scoretable";

/** Verdicts as something to read: each latent's figures, test by test, and what its verdict rests on. */

export interface FalsificationView {
  label: string;
  /** In the order asked for, or of AUROC on training documents. */
  latents: Falsified[];
  /** Latents × poolings among which they were chosen; their own number where they were named. */
  searched: number;
  heldout: { positives: number; sentences: number; documents: number };
  baseRate: number;
  /** Text that has nothing to do with the label. */
  ordinary: { tokens: number; own: boolean };
}

const figure = (x: number): string => (Number.isNaN(x) ? "–" : x.toFixed(2));
const whole = (rate: Rate): string => (rate.of ? `${Math.round(100 * share(rate))} %` : "–");

/** A cell: its text, of how many it is, whether a test was lost there or left open, and what stands behind it. */
interface Cell {
  text: string;
  /** In a line of its own below: of how many, and what belongs to it. */
  below?: string;
  mark?: "lost" | "open";
  behind?: string;
  /** Instead of one figure words, each with its own mark, on as many lines as they take. */
  words?: { text: string; mark?: "lost" | "open" }[];
}

const measured = (one: Measure | undefined, more = ""): Cell =>
  one === undefined ? { text: "–" } : {
    text: one.outcome === "undefined" ? "undefined" : figure(one.auroc),
    below: count(one.positives),
    ...(one.outcome === "lost" ? { mark: "lost" } : one.outcome === "open" ? { mark: "open" } : {}),
    behind: `${figure(one.auroc)} (95 %: ${figure(one.interval[0])} to ${figure(one.interval[1])}), ${figure(one.before)} as they stand; ${count(one.positives)} of the label, ${count(one.negatives)} others: ${one.outcome}${more}`,
  };

/** What needs no SAE, in a word each; the first four decide. */
const CONTROLS: [DetectorKind, string][] = [
  ["random direction", "random"], ["keyword", "word"], ["position", "position"], ["length", "length"],
  ["text model", "text"], ["difference of means", "means"], ["probe", "probe"],
];
const DECIDING = 4;
const nameOf = ({ kind, what, absent }: Falsified["controls"][number]): string =>
  kind === "keyword" ? `${absent ? "the absence of " : ""}the word “${what}”` : kind === "position" || kind === "length" ? `${kind} (${what})` : kind === "random direction" ? "the best random direction" : kind;

/** Which of them do as well as the latent. */
function reachedBy(one: Falsified): Cell {
  const found = CONTROLS.flatMap(([kind, word], i) => {
    const detector = one.controls.find((control) => control.kind === kind);
    return detector ? [{ detector, word, decides: i < DECIDING, reaches: detector.heldout >= one.heldout, open: i < DECIDING && detector.lead[0] <= 0 }] : [];
  });
  if (!found.length) return { text: "–" };
  const words = found.filter(({ reaches, open }) => reaches || open).map(({ word, reaches, decides }) => ({ text: word, ...(!reaches ? { mark: "open" as const } : decides ? { mark: "lost" as const } : {}) }));
  return {
    text: words.length ? "" : "none",
    words,
    behind: found.map(({ detector, reaches }) => `${nameOf(detector)} ${reaches ? "≥ " : ""}${figure(detector.heldout)}; the latent's lead, 95 %: ${figure(detector.lead[0])} to ${figure(detector.lead[1])}`).join("\n"),
  };
}

/** The same for all latents: how well the label is told without an SAE. */
function withoutSae({ latents }: FalsificationView): string {
  const controls = CONTROLS.flatMap(([kind]) => latents[0]?.controls.find((control) => control.kind === kind) ?? []);
  return controls.length ? `Without an SAE: ${controls.map((one) => `${nameOf(one)} ${figure(one.heldout)}`).join(", ")}.` : "";
}

/** Beside the column that names what reaches a latent its caution would say it again. */
const whyOf = ({ reasons, cautions }: Falsified): string[] => [...reasons, ...cautions.filter((text) => !text.startsWith("reached by ")).map((text) => `note: ${text}`)];

const REACHED = "reached by";

type Column = { name: string; cell: (one: Falsified) => Cell; only?: (view: FalsificationView) => boolean };

const COLUMNS: Column[] = [
  { name: "AUROC (AP)", cell: (one) => ({ text: figure(one.heldout), below: `(${figure(one.averagePrecision)})`, behind: `95 %: ${figure(one.interval[0])} to ${figure(one.interval[1])}; training ${figure(one.train)}; ${one.pooling}; q among all latents ${smallShare(one.q)}` }) },
  {
    name: "pasted (control)",
    cell: ({ injection }) => {
      const most = strongestKind(injection);
      return {
        text: whole(most.rate), below: `(${Math.round(100 * controlRate(injection, most.kind))} %) of ${count(most.rate.of)}`, ...(injection.outcome === "lost" ? { mark: "lost" } : injection.outcome === "open" ? { mark: "open" } : {}),
        behind: `${injection.kinds.map(({ kind, rate }) => `${kind} ${rate.fired} of ${rate.of}`).join(", ")}; nothing ${injection.none.fired} of ${injection.none.of}; random tokens ${injection.random.map(({ fired, of }, i) => `${i + 1}: ${fired} of ${of}`).join(", ")}; ` +
          `most by ${most.triggers[0] ? `“${most.triggers[0].text}”` : "none"}: ${injection.outcome}`,
      };
    },
  },
  { name: "without its tokens", cell: (one) => measured(one.tokenFree, `; without ${one.tokenFree.without.join(", ")}`) },
  { name: "moved", cell: (one) => measured(one.moved) },
  { name: "shuffled", cell: (one) => ({ ...measured(one.shuffled), mark: undefined }) },
  { name: "like position", cell: (one) => measured(one.samePosition) },
  { name: "one document", cell: (one) => measured(one.sameDocument) },
  {
    name: "ordinary text",
    cell: ({ ordinary }) => ({
      text: percent(share(ordinary.tokens)), below: count(ordinary.tokens.of), ...(ordinary.outcome === "lost" || ordinary.samePositions.outcome === "lost" ? { mark: "lost" } : ordinary.outcome === "open" ? { mark: "open" } : {}),
      behind: `fires on ${count(ordinary.tokens.fired)} of ${count(ordinary.tokens.of)} tokens, ${whole(ordinary.stretches)} of ${ordinary.stretches.of} stretches; on ${whole(ordinary.sentences)} of the label's sentences. AUROC of these against ordinary stretches ${figure(ordinary.auroc)}, at the same positions ${figure(ordinary.samePositions.auroc)}`,
    }),
  },
  { name: "paraphrased", cell: (one) => measured(one.paraphrased), only: ({ latents }) => latents.some(({ paraphrased }) => paraphrased) },
  {
    name: "second SAE",
    cell: ({ second }) => (second ? { text: figure(second.nearest.heldout), behind: `nearest decoder row: latent ${second.nearest.latent}, cosine ${figure(second.nearest.cosine)}; its best latent for the label: ${second.best.latent}, held-out ${figure(second.best.heldout)}, cosine ${figure(second.best.cosine)}` } : { text: "–" }),
    only: ({ latents }) => latents.some(({ second }) => second),
  },
  { name: REACHED, cell: reachedBy },
];

const columnsOf = (view: FalsificationView): Column[] => COLUMNS.filter(({ only }) => !only || only(view));

const ORDER: FalsifyVerdict[] = ["survives", "undecided", "token detector", "position", "context", "not above random"];

/** Said of all: what was looked for where, and how to read it. */
function notes({ latents, searched, heldout, baseRate, ordinary }: FalsificationView): string[] {
  const verdicts = ORDER.map((verdict) => [verdict, latents.filter((one) => one.verdict === verdict).length] as const).filter(([, n]) => n > 0);
  return [
    `Of ${count(latents.length)} latents: ${verdicts.map(([verdict, n]) => `${verdict} ${n}`).join(", ")}.`,
    `Figures are AUROC on ${count(heldout.sentences)} held-out sentences of ${count(heldout.documents)} documents, ${count(heldout.positives)} of them with the label (base rate ${percent(baseRate)}, which AP, average precision, starts from). ` +
      `${searched > latents.length ? `The best of ${count(searched)} latents × poolings; they` : "Poolings"}, thresholds and triggers were chosen on training documents.`,
    `✗: lost there, ?: left open. Below AUROC of a part of the sentences stands the number of those with the label; below shares, of how many. Pasted: how often its trigger tokens, or windows of two or three, set it off (and random tokens: the control) in ${count(ordinary.tokens)} tokens of ${ordinary.own ? "plain prose" : "the text given"}; moved: the sentence behind such text; shuffled: there, its tokens in another order. Reached by: what tells the label as well without an SAE, on the same sentences (?: within chance of it); the random direction, the word, position and length decide.`,
    "A latent that survives correlates with the label. To detect it, the probe or the difference of means is the better tool.",
  ];
}

const MARKS = { lost: "✗", open: "?" } as const;
const marked = ({ text, mark }: Pick<Cell, "text" | "mark">, bold = (lost: string): string => lost): string => (mark ? `${MARKS[mark]} ${mark === "lost" ? bold(text) : text}` : text);

/** A table of latents, lost tests marked ✗ and open ones ?; below each its reasons. */
export function falsifiedHtml(view: FalsificationView): string {
  const cell = "padding:0.25em 0.7em 0.1em 0;border:0;vertical-align:baseline";
  const right = `text-align:right;${cell};white-space:nowrap`;
  const left = `text-align:left;${cell}`;
  const columns = columnsOf(view);
  const head = ["latent", "verdict", ...columns.map(({ name }) => name)]
    .map((name, i) => `<th style="${i < 2 || name === REACHED ? left : right};white-space:normal;border-bottom:${RULE};font-weight:600;vertical-align:bottom">${name}</th>`)
    .join("");
  const rows = view.latents.map((one) => {
    const cells = columns.map(({ cell: make }) => {
      const { text, below, mark, behind, words } = make(one);
      const shown = `${words?.map((word) => marked(word, (lost) => `<b>${lost}</b>`)).join(", ") ?? ""}${marked({ text, mark }, (lost) => `<b>${lost}</b>`)}${below ? `<br><span style="font-size:11px;opacity:0.8">${below}</span>` : ""}`;
      return `<td style="${words ? left : right}"${behind ? ` title="${escapeHtml(behind)}"` : ""}>${shown}</td>`;
    }).join("");
    const good = one.verdict === "survives";
    const why = whyOf(one).map(escapeHtml).join("; ");
    return (
      `${ROW}<td style="${left};font-family:${MONO}">${one.latent}</td><td style="${left};white-space:normal"><b style="${good ? `background:${shade(0.45)};padding:0 0.3em` : ""}">${one.verdict}</b></td>${cells}</tr>` +
      `${ROW}<td style="border:0;padding:0"></td><td colspan="${columns.length + 1}" style="text-align:left;border:0;padding:0 0 0.5em 0;${SMALL};white-space:normal"><div style="max-width:60em">${why}</div></td></tr>`
    );
  }).join("");
  return (
    `<div class="saelab-verdicts ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.4;overflow-x:auto">` +
    `<p style="margin:0 0 0.5em 0">Do they correlate with <b>${escapeHtml(view.label)}</b> for a reason of their own? ${escapeHtml(withoutSae(view))}</p>` +
    `<table style="${PLAIN_TABLE};margin:0;font-size:12px"><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table>` +
    `<ul style="${SMALL};margin:0.6em 0 0;padding-left:1.3em">${notes(view).map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul></div>`
  );
}

export function falsifiedText(view: FalsificationView): string {
  const columns = columnsOf(view);
  const heads = ["latent", "verdict", ...columns.map(({ name }) => name)];
  const rows = view.latents.map((one) => [
    String(one.latent), one.verdict,
    ...columns.map(({ cell }) => {
      const { text, below, mark, words } = cell(one);
      return `${words?.map((word) => marked(word)).join(", ") ?? ""}${marked({ text, mark })}${below ? ` ${below.startsWith("(") ? below : `/ ${below}`}` : ""}`;
    }),
  ]);
  const width = heads.map((name, c) => Math.max(name.length, ...rows.map((row) => [...row[c]].length)));
  const line = (row: string[]): string => row.map((text, c) => (c === 1 ? padEnd : padStart)(text, width[c])).join("  ").trimEnd();
  return [
    `Do they correlate with ${view.label} for a reason of their own?`, ...[withoutSae(view)].filter(Boolean), "", line(heads),
    ...rows.flatMap((row, i) => [line(row), `${" ".repeat(width[0] + 2)}${whyOf(view.latents[i]).join("; ")}`]),
    "", ...notes(view),
  ].join("\n");
}
