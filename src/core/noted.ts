import { tableHtml, tableText, type TableView } from "./featuretable";
import { escapeHtml, PLAIN, SANS } from "./html";

/** A table and what must be read with it. */
export interface NotedTable extends TableView {
  notes: string[];
}

export const notedHtml = (view: NotedTable): string =>
  `${tableHtml(view)}<ul class="${PLAIN}" style="font-family:${SANS};font-size:12px;opacity:0.85;margin:0.5em 0 0;padding-left:1.3em">${view.notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;

export const notedText = (view: NotedTable): string => [tableText(view), "", ...view.notes].join("\n");
