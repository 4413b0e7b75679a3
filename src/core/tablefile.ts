/**
 * Columns → the text of a file. Numbers keep what they have: float32 ones are written with the fewest digits that give the same float32
 * again, the others in full.
 */

export type ColumnType = "integer" | "float32" | "float64" | "boolean" | "text";

/** A column of a table, one value a row; null or NaN: nothing. */
export interface TypedColumn {
  name: string;
  type: ColumnType;
  values: ArrayLike<number | string | boolean | null | undefined>;
}

type Cell = number | string | boolean | null;

const INT = 2 ** 31;

/**
 * The narrowest type that holds every value. Numbers beside texts are texts.
 * @param values null, undefined and NaN say nothing of the type
 */
export function typeOfValues(values: ArrayLike<unknown>): ColumnType {
  let numbers = 0, booleans = 0, others = 0;
  let whole = true, single = true;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null || value === undefined || Number.isNaN(value)) continue;
    if (typeof value === "number") {
      numbers++;
      whole &&= Number.isInteger(value) && value >= -INT && value < INT;
      single &&= Math.fround(value) === value;
    } else if (typeof value === "boolean") booleans++;
    else others++;
  }
  if (others || (numbers && booleans)) return "text";
  if (booleans) return "boolean";
  if (!numbers) return "float32";
  return whole ? "integer" : single ? "float32" : "float64";
}

/** The value of a row: null where there is nothing; texts without halves of characters, which no file format takes. */
export function cellOf({ type, values }: TypedColumn, row: number): Cell {
  const value = values[row];
  if (value === null || value === undefined || Number.isNaN(value)) return null;
  return type === "text" ? String(value).toWellFormed() : value;
}

/** The shortest decimal number that is the same float32. */
export function shortest(value: number): number {
  if (Math.fround(value) !== value || Number.isInteger(value)) return value;
  for (let digits = 6; digits < 9; digits++) {
    const near = Number(value.toPrecision(digits));
    if (Math.fround(near) === value) return near;
  }
  return Number(value.toPrecision(9));
}

const PIECE = 1000; // rows written at a time

const rowsOf = (columns: TypedColumn[]): number => columns[0]?.values.length ?? 0;

const numberText = (type: ColumnType, value: number): number => (type === "float32" ? shortest(value) : value);

/** A text that a spreadsheet would take for a formula, which can fetch and send, stays a text behind an apostrophe. @see https://owasp.org/www-community/attacks/CSV_Injection */
const inert = (text: string): string => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);

/**
 * CSV (RFC 4180): a header, UTF-8, what there is not left empty. Infinity is `Infinity`, as pandas and JavaScript read it. Texts that begin with =, +, -, @,
 * a tab or a carriage return have an apostrophe in front.
 */
export function* csvPieces(columns: TypedColumn[]): Generator<string> {
  const quoted = (text: string): string => (/[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text);
  const cell = (column: TypedColumn, row: number): string => {
    const value = cellOf(column, row);
    if (value === null) return "";
    if (typeof value === "number") return String(numberText(column.type, value));
    return quoted(typeof column.values[row] === "string" ? inert(String(value)) : String(value));
  };
  yield `${columns.map(({ name }) => quoted(inert(name.toWellFormed()))).join(",")}\r\n`;
  for (let from = 0; from < rowsOf(columns); from += PIECE) {
    let text = "";
    for (let row = from; row < Math.min(rowsOf(columns), from + PIECE); row++) text += `${columns.map((column) => cell(column, row)).join(",")}\r\n`;
    yield text;
  }
}

/** A JSON list of an object a row, a line each; what there is not, and what JSON has no number for, is null. */
export function* jsonPieces(columns: TypedColumn[]): Generator<string> {
  const cell = (column: TypedColumn, row: number): Cell => {
    const value = cellOf(column, row);
    return typeof value === "number" ? (Number.isFinite(value) ? numberText(column.type, value) : null) : value;
  };
  yield "[";
  for (let from = 0; from < rowsOf(columns); from += PIECE) {
    let text = "";
    for (let row = from; row < Math.min(rowsOf(columns), from + PIECE); row++) {
      const object = Object.fromEntries(columns.map((column) => [column.name.toWellFormed(), cell(column, row)]));
      text += `${row ? "," : ""}\n${JSON.stringify(object)}`;
    }
    yield text;
  }
  yield "\n]\n";
}
