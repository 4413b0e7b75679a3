import type { DoctorReport, Status } from "./doctor";
import { headWords, isCommand, MARKS, reportParts, verdictWords, type Row } from "./doctortext";
import { escapeHtml, MONO, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, SMALL } from "./html";

/** A report as a card in a notebook. */

const WORDS: Record<Status, string> = { ok: "works", worse: "could be better", broken: "does not work", absent: "not here, not needed" };
const SHADES: Partial<Record<Status, string>> = { worse: "rgba(255,170,0,0.35)", broken: "rgba(230,60,60,0.4)" };

const CELL = "text-align:left;vertical-align:baseline;border:0;padding:0.12em 0.9em 0.12em 0";

function rowHtml({ status, name, what, more, cure }: Row): string {
  const mark = `<b title="${WORDS[status]}" style="display:inline-block;width:1.4em;text-align:center;border-radius:3px${SHADES[status] ? `;background:${SHADES[status]}` : ""}">${MARKS[status]}</b>`;
  const quiet = status === "ok" || status === "absent";
  const reasons = more.map((text) => (quiet ? ` <span style="${SMALL}">${escapeHtml(text)}</span>` : `<br><span style="${SMALL}">${escapeHtml(text)}</span>`)).join(quiet ? "<br>" : "");
  const told = cure && (isCommand(cure) ? `<code style="font-family:${MONO};font-size:12px">${escapeHtml(cure)}</code>` : escapeHtml(cure));
  const command = told ? `<br>→ ${told}` : "";
  return `${ROW}<td style="${CELL};padding-right:0.5em">${mark}</td><td style="${CELL};white-space:nowrap;min-width:8em">${escapeHtml(name)}</td><td style="${CELL};white-space:normal">${escapeHtml(what)}${reasons}${command}</td></tr>`;
}

/** HTML without script or style sheet; survives JupyterLab's sanitiser unchanged. */
export function doctorHtml(report: DoctorReport): string {
  const [name, ...head] = headWords(report);
  const parts = reportParts(report).map(({ title, rows, note }, i) => [
    title ? `<p style="margin:0.9em 0 0.2em"><b>${escapeHtml(title)}</b></p>` : "",
    `<table style="${PLAIN_TABLE};font-size:13px;margin:${title || !i ? "0" : "0.6em 0 0"}"><tbody>${rows.map(rowHtml).join("")}</tbody></table>`,
    note ? `<p style="${SMALL};margin:0.2em 0 0">${escapeHtml(note)}</p>` : "",
  ].join(""));
  return [
    `<div class="saelab-doctor ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5;max-width:62em">`,
    `<p style="margin:0 0 0.5em;padding-bottom:0.3em;border-bottom:${RULE}"><b>${escapeHtml(name)}</b> <span style="${SMALL}">· ${head.map(escapeHtml).join(" · ")}</span></p>`,
    ...parts,
    `<p style="margin:0.8em 0 0"><b>${escapeHtml(verdictWords(report))}</b></p></div>`,
  ].join("");
}
