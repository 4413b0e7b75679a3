import type { Passed } from "./device";
import { DEVICE_WORDS, flopWords, gigabytes, rateWords, type DoctorReport, type Job, type JobReport, type Line, type Status } from "./doctor";
import type { DoctorPlan } from "./doctorplan";
import type { Measured, Speeds } from "./doctorspeeds";
import { ansi, columns, count, duration, padEnd } from "./html";

/** A report as words, the same for a terminal and for a card: rows of a name, what is said, and what follows from it. */

export const MARKS: Record<Status, string> = { ok: "✓", worse: "!", broken: "✗", absent: "–" };

export interface Row {
  status: Status;
  name: string;
  what: string;
  /** Reasons, each a sentence or less. */
  more: string[];
  cure?: string;
}

export interface Part {
  title?: string;
  rows: Row[];
  note?: string;
}

/** First what is here, then what that makes of the three jobs, what was measured, and a plan. */
export function reportParts(report: DoctorReport): Part[] {
  const { lines, jobs, speeds, plan } = report;
  return oneOfEach([
    { rows: lines.map(ofLine) },
    { rows: [jobRow("notebooks", jobs.notebooks), jobRow("harvest", jobs.harvest), jobRow("training", jobs.training, jobs.harvest)] },
    ...(speeds ? [speedPart(speeds, report.machine.threads)] : []),
    ...(plan ? [planPart(plan)] : []),
  ]);
}

/** A cure that was told is not told again. */
function oneOfEach(parts: Part[]): Part[] {
  const told = new Set<string>();
  const once = ({ cure, ...row }: Row): Row => {
    if (!cure || told.has(cure)) return row;
    told.add(cure);
    return { ...row, cure };
  };
  return parts.map((part) => ({ ...part, rows: part.rows.map(once) }));
}

const ofLine = ({ name, status, what, why, cure }: Line): Row => ({ name, status, what, more: why ? [why] : [], ...(cure ? { cure } : {}) });

export function headWords({ version, machine: { platform, wsl, arch, processor, threads, memory, disk } }: DoctorReport): string[] {
  return [
    `saelab ${version}`, `${platform} ${arch}${wsl ? " (WSL)" : ""}`, `${processor} × ${threads}`, `${gigabytes(memory.free)} of ${gigabytes(memory.total)} memory free`,
    ...(disk ? [`${gigabytes(disk.free)} of disk free in ${disk.folder}`] : []),
  ];
}

/** @param said the job above: what it said of a device is not said again */
function jobRow(job: Job, report: JobReport, said?: JobReport): Row {
  const name = job === "harvest" ? "harvesting" : job;
  if (!report.runs) return { name, status: "broken", what: "cannot run here", more: [report.why], ...(report.cure ? { cure: report.cure } : {}) };
  if (!report.on) return { name, status: "ok", what: "run here", more: [] };
  const { device, name: called, instead, note } = report.on;
  const what = `on ${device === "wasm" ? called : `${DEVICE_WORDS[device]} (${called})`}${report.step ? `, by the ${report.step} step` : ""}`;
  const checked = job === "harvest" && device !== "cpu" ? ["each model is compared with the CPU when it is opened"] : [];
  const same = said?.runs && said.on && JSON.stringify(said.on.instead) === JSON.stringify(instead);
  const why = same && instead.length ? [`${instead.map(({ device: other }) => `not ${DEVICE_WORDS[other]}`).join(", ")}: as above`] : merged(instead);
  const cure = same ? undefined : instead.find((other) => other.cure)?.cure;
  return { name, status: instead.some((other) => other.cure) || device === "wasm" ? "worse" : "ok", what, more: [...why, ...checked, ...(note ? [note] : [])], ...(cure ? { cure } : {}) };
}

/** "not CUDA: no NVIDIA driver" */
const merged = (instead: Passed[]): string[] => instead.map(({ device, why }) => `not ${DEVICE_WORDS[device]}: ${why}`);

function speedPart({ matmul, training, harvest }: Speeds, threads: number): Part {
  const others = Math.max(0, ...[training, harvest].flatMap((measured) => (measured.there ? measured.others : [])));
  const busy = others > 0.15 * threads ? `, while other programs kept ${others.toFixed(1)} of ${threads} threads busy` : "";
  const row = <T>(name: string, measured: Measured<T>, words: (found: T) => { what: string; more: string }): Row => {
    if (!measured.there) return { name, status: "absent", what: "not measured", more: [measured.why], ...(measured.cure ? { cure: measured.cure } : {}) };
    const { what, more } = words(measured);
    return { name, status: "ok", what, more: [more] };
  };
  return {
    title: `Measured just now${busy}`,
    rows: [
      row("product", matmul, ({ float32, bfloat16, n, threads, device, name }) => ({
        what: `float32 ${flopWords(float32)}${bfloat16 === undefined ? "" : `, bfloat16 ${flopWords(bfloat16)}`}`,
        more: `${count(n)} × ${count(n)}, ${name}${device === "cpu" ? `, ${count(threads)} thread${threads > 1 ? "s" : ""}` : ""}`,
      })),
      row("training", training, ({ tokensPerSecond, step, d, latents, k, batch }) => ({
        what: rateWords(tokensPerSecond), more: `top-k SAE, ${count(d)} → ${count(latents)}, k ${k}, batch ${count(batch)}, ${step} step`,
      })),
      row("harvest", harvest, ({ tokensPerSecond, model, parameters, tokens }) => ({
        what: rateWords(tokensPerSecond), more: `${model} (${millions(parameters)} parameters), ${count(tokens)} tokens`,
      })),
    ],
  };
}

const millions = (n: number): string => (n >= 1e9 ? `${(n / 1e9).toPrecision(2)}B` : `${(n / 1e6).toPrecision(2)}M`);

/** 100M, 1.5B, 65,536: as people write a number of tokens. */
const tokensWords = (n: number): string => (n >= 1e9 && n % 1e8 === 0 ? `${n / 1e9}B` : n >= 1e6 && n % 1e5 === 0 ? `${n / 1e6}M` : count(n));

/** Hours and days of what is guessed: two digits. */
export function roughly(seconds: number): string {
  if (seconds < 5400) return duration(seconds);
  const hours = seconds / 3600;
  return hours < 100 ? `${hours < 10 ? hours.toFixed(1) : Math.round(hours)} hours` : `${count(Math.round(hours))} hours (${Math.round(hours / 24)} days)`;
}

function planPart(plan: DoctorPlan): Part {
  const { asked, memory, free, disk, training, harvest, short, changes, rowsAtOnce } = plan;
  const { card, host } = memory;
  const status = (what: string): Status => (short.includes(what) ? "broken" : "ok");
  const whole = disk.store + disk.checkpoints + disk.sae;
  const largest = (on: "host" | "card"): string[] => {
    const parts = memory.parts.filter((part) => (part.on === on || free.shared) && part.bytes > 0).sort((a, b) => b.bytes - a.bytes).slice(0, 3);
    return parts.length > 1 ? [parts.map(({ what, bytes }) => `${what} ${gigabytes(bytes)}`).join(", ")] : [];
  };
  const memoryRow = (name: string, needed: number, there: number, on: "host" | "card", what: string): Row => ({
    name, status: status(what), what: `${gigabytes(needed)} of ${Number.isFinite(there) ? `${gigabytes(there)} free` : "what the card has (nobody says how much is free)"}`,
    more: [...largest(on), ...(rowsAtOnce && !short.includes(what) && (on === "card" || !card || free.shared) ? [`${count(rowsAtOnce)} rows of a batch are encoded at a time: the result is the same, and takes longer`] : []), ...(short.includes(what) ? [wouldFit(changes)] : [])],
  });
  const time = (name: string, seconds: number | undefined, basis: string): Row[] =>
    (seconds === undefined ? [] : [{ name, status: "ok", what: `about ${roughly(seconds)}`, more: [basis] }]);
  return {
    title: `Plan: ${count(asked.latents)} latents on rows of ${count(asked.d)}, k ${asked.k}, ${tokensWords(asked.tokens)} tokens, batch ${count(asked.batch)}, on ${DEVICE_WORDS[asked.device]}`,
    rows: [
      ...(card && !free.shared ? [memoryRow("card", card, free.card, "card", "memory on the card")] : []),
      memoryRow("memory", host + (free.shared ? card : 0), free.host, "host", "memory"),
      {
        name: "disk", status: status("disk"), what: `${gigabytes(whole)}${disk.free === undefined ? "" : ` of ${gigabytes(disk.free)} free`}`,
        more: [
          `rows ${gigabytes(disk.store)} (${asked.dtype}), checkpoints ${gigabytes(disk.checkpoints)}, the SAE ${gigabytes(disk.sae)}`,
          ...(short.includes("disk") ? [`${asked.dtype === "F32" ? "dtype=F16 halves the rows; " : ""}training on the model while it runs needs no rows on disk: saelab train MODEL TEXTS`] : []),
        ],
      },
      ...time("training", training, "a rough estimate, scaled from the speed above"),
      ...time("harvest", harvest, `a rough estimate, scaled from the speed above to all ${millions(asked.parameters ?? 0)} parameters`),
    ],
    ...(training === undefined ? { note: `No hours: no speed was measured on ${DEVICE_WORDS[asked.device]}.` }
      : asked.parameters === undefined ? { note: "The harvest's hours too: add parameters=1.5B, or as many as the model has." } : {}),
  };
}

/** "Would fit: batch 512, or 40,000 latents" */
function wouldFit(changes: DoctorPlan["changes"]): string {
  if (!changes.length) return "nothing smaller of it fits either";
  const words = changes.map(({ batch, latents, step, moments, device, saes }) => [
    batch === undefined ? "" : `batch ${count(batch)}`, latents === undefined ? "" : `${count(latents)} latents`, step ? `the ${step} step` : "", moments === "bf16" ? "moments in bfloat16" : "", device ? `on ${DEVICE_WORDS[device]}` : "", saes ? `${saes} SAEs at once` : "",
  ].filter(Boolean).join(" and "));
  return `would fit: ${words.join("; or ")}`;
}

/** What the last line says. */
export function verdictWords(report: DoctorReport): string {
  const { jobs, plan, ok } = report;
  const cannot = (Object.entries(jobs) as [Job, JobReport][]).filter(([, { runs }]) => !runs).map(([job]) => (job === "harvest" ? "harvesting" : job));
  const named = cannot.length > 1 ? `${cannot.slice(0, -1).join(", ")} and ${cannot.at(-1)}` : cannot[0];
  if (cannot.length) return `${named[0].toUpperCase()}${named.slice(1)} cannot run here. What follows → cures it.`;
  if (!ok && plan) return `The plan does not fit: too little ${plan.short.join(" and ")}.`;
  const better = reportParts(report).flatMap(({ rows }) => rows).some(({ status }) => status === "worse" || status === "broken");
  return `All of saelab runs here.${better ? " Lines with ! could be better." : ""}`;
}

const WIDTH = 100;
const NAMES = 14; // columns of the names, with what parts them from the rest
const INDENT = 2 + NAMES;

/** Lines of at most WIDTH columns; a word that is longer stays whole. */
function wrapped(text: string, indent: number, first = indent): string[] {
  const lines: string[] = [];
  let line = " ".repeat(first), empty = true;
  for (const word of text.split(" ")) {
    if (!empty && columns(line) + 1 + columns(word) > WIDTH) {
      lines.push(line);
      line = " ".repeat(indent);
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}

/** Commands stay on one line, so that they can be copied. */
export const isCommand = (cure: string): boolean => /^('?[/~]|(npx|sudo|rm|export|unset|nvm|brew|start with) )/.test(cure);

const COLOURS: Record<Status, string> = { ok: "32", worse: "33;1", broken: "31;1", absent: "2" };

/** For a terminal of 100 columns. */
export function doctorText(report: DoctorReport, color: boolean): string {
  const paint = ansi(color);
  const rowLines = ({ status, name, what, more, cure }: Row): string[] => {
    const quiet = status === "ok" || status === "absent";
    const joined = quiet && more.length === 1 && columns(what) + columns(more[0]) + INDENT + 3 <= WIDTH ? [`${what}   ${paint("2", more[0])}`] : undefined;
    const [first, ...rest] = joined ?? wrapped(what, INDENT).map((text, i) => (i ? text : text.trimStart()));
    return [
      `${paint(COLOURS[status], MARKS[status])} ${padEnd(name, NAMES)}${first}`, ...rest,
      ...(joined ? [] : more.flatMap((text) => wrapped(text, INDENT)).map((text) => paint("2", text))),
      ...(cure ? (isCommand(cure) ? [`${" ".repeat(INDENT)}→ ${cure}`] : wrapped(`→ ${cure}`, INDENT + 2, INDENT)).map((text) => paint("1", text)) : []),
    ];
  };
  const [name, ...head] = headWords(report).map((words) => words.replaceAll(" ", "\u00a0")); // a fact stays on one line
  return [
    ...wrapped([name, ...head].join("\u00a0· "), 2, 0).map((text, i) => (i ? text : text.replace(name, paint("1", name))).replaceAll("\u00a0", " ")),
    ...reportParts(report).flatMap(({ title, rows, note }) => ["", ...(title ? wrapped(title, 2, 0).map((text) => paint("1", text)) : []), ...rows.flatMap(rowLines), ...(note ? [`  ${paint("2", note)}`] : [])]),
    "",
    verdictWords(report),
  ].join("\n");
}
