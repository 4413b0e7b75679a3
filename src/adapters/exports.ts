import { OptionError } from "../core/errors";
import { FEATURE_COLUMNS } from "../core/featuretable";
import { cellOf, csvPieces, jsonPieces, typeOfValues, type ColumnType, type TypedColumn } from "../core/tablefile";
import type { Features } from "./features";
import { writeAtomic } from "./files";
import { version } from "./package";
import type { DataFrame } from "./table";

/** Tables as files that other tools read. */

const MEASURED: Record<string, ColumnType> = { latent: "integer", density: "float64", mean: "float32", max: "float32", entropy: "float32", distinct: "integer", tokens: "text" };

const PARQUET: Record<ColumnType, "INT32" | "FLOAT" | "DOUBLE" | "BOOLEAN" | "STRING"> = { integer: "INT32", float32: "FLOAT", float64: "DOUBLE", boolean: "BOOLEAN", text: "STRING" };

/**
 * Writes a table, whole or not at all: CSV (RFC 4180), JSON (a list of an object a row) or Parquet (Snappy), by the file's ending. Columns are typed:
 * whole numbers, float32, float64, booleans, text. NaN, and texts that a latent has none of, are empty, null, null. In CSV a text
 * that a spreadsheet would run (=, +, -, @ …) has an apostrophe in front; JSON and Parquet have it as it is.
 * @param of features: their whole table, a row a latent, with the columns that were kept; or any DataFrame, such as a part of it, sorted
 * @throws OptionError for another ending; DiskError
 */
export async function exportTable(of: Features | DataFrame, file: string): Promise<void> {
  const ending = /\.(csv|json|parquet)$/i.exec(file)?.[1].toLowerCase();
  if (!ending) throw new OptionError(`exportTable: expected a file that ends in .csv, .json or .parquet, found ${file}.`);
  const columns = isFeatures(of) ? featureColumns(of) : frameColumns(of);
  if (ending === "csv") await writeAtomic(file, csvPieces(columns));
  else if (ending === "json") await writeAtomic(file, jsonPieces(columns));
  else await writeAtomic(file, [await parquet(columns)]);
}

function isFeatures(of: Features | DataFrame): of is Features {
  if (typeof of === "object" && of !== null && ("columns" in of && ("statistics" in of || "values" in of))) return "statistics" in of;
  throw new OptionError(`exportTable: expected features or a DataFrame, found ${typeof of}.`);
}

const columnsOf = (frame: DataFrame): { name: string; values: unknown[] }[] => {
  const rows = frame.values as unknown[][];
  return frame.columns.map((name, c) => ({ name, values: rows.map((row) => row[c]) }));
};

function frameColumns(frame: DataFrame): TypedColumn[] {
  return columnsOf(frame).map(({ name, values }) => ({ name, type: typeOfValues(values), values: values as TypedColumn["values"] }));
}

/** The type of a latent's column is what it is, not what its values happen to be: scores that are all 0 or 1 are no whole numbers. */
function featureColumns(features: Features): TypedColumn[] {
  return columnsOf(features.table()).map(({ name, values }) => {
    const kept = FEATURE_COLUMNS.includes(name) ? undefined : features.column(name);
    const type = kept ? (kept instanceof Float32Array ? "float32" : "text") : (MEASURED[name] ?? typeOfValues(values));
    return { name, type, values: values.map((value) => (value === "" ? null : value)) as TypedColumn["values"] };
  });
}

async function parquet(columns: TypedColumn[]): Promise<Uint8Array> {
  const { ByteWriter, parquetWrite } = await import("hyparquet-writer"); // an ES module
  const writer = new ByteWriter();
  parquetWrite({
    writer,
    createdBy: `saelab ${version}`,
    columnData: columns.map((column) => ({
      name: column.name.toWellFormed(),
      type: PARQUET[column.type],
      nullable: true,
      data: Array.from({ length: column.values.length }, (_, row) => cellOf(column, row)),
    })),
  });
  return writer.getBytes();
}
