import { tableHtml, tableText, type TableView } from "./featuretable";
import { escapeHtml, PLAIN, SANS, SMALL } from "./html";

/** A table and what must be read with it. */
export interface NotedTable extends TableView {
  notes: string[];
}

const notesHtml = (notes: string[]): string =>
  `<ul class="${PLAIN}" style="font-family:${SANS};${SMALL};margin:0.5em 0 0;padding-left:1.3em">${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;

export const notedHtml = (view: NotedTable): string => `${tableHtml(view)}${notesHtml(view.notes)}`;

export const notedText = (view: NotedTable): string => [tableText(view), "", ...view.notes].join("\n");

/** As notebook files keep it: `application/vnd.saelab.table.v1+json`. */
export interface PackedTable extends Omit<TableView, "rows"> {
  version: 1;
  rows: string;
  /** Above the table: what it says. */
  title?: string;
  /** Below it: what must be read with it. */
  notes?: string[];
}

export const packTable = ({ columns, rows, total, words }: TableView, { title, notes }: { title?: string; notes?: string[] } = {}): PackedTable => ({
  version: 1, columns, rows: JSON.stringify(rows), total, ...(words ? { words } : {}), ...(title ? { title } : {}), ...(notes?.length ? { notes } : {}),
});

/** A packed table in the order that a reader gave its rows. */
export function packedHtml({ title, notes, ...table }: Omit<PackedTable, "rows">, rows: TableView["rows"]): string {
  const head = title ? `<p style="margin:0 0 0.4em"><b>${escapeHtml(title)}</b></p>` : "";
  return `${head}${tableHtml({ ...table, rows })}${notes ? notesHtml(notes) : ""}`;
}
