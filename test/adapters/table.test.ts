import assert from "node:assert/strict";
import { test } from "node:test";
import { DISPLAY, type Bundle } from "../../src/adapters/show";
import { dataFrame } from "../../src/adapters/table";
import { tablePlot, type TablePlotOptions } from "../../src/adapters/tableplot";
import { OptionError } from "../../src/core/errors";

const frame = () => dataFrame(
  [[0, 0.1, 3, NaN, "a", "survives"], [1, 0.2, 1, 0.9, "B", "position"], [2, 0.3, 2, 0.5, "", "survives"], [3, 0.05, 7, NaN, "c", ""], [4, 0.3, 9, 0.7, "b", "survives"]],
  ["latent", "density", "max", "AUROC x", "label", "verdict"]);

const latents = (table: ReturnType<typeof frame>): number[] => (table.values as number[][]).map(([latent]) => latent);

test("a table sorts numbers and texts, what is not there last, equal rows in their order", () => {
  assert.deepEqual(latents(frame().sortValues("AUROC x")), [2, 4, 1, 0, 3]);
  assert.deepEqual(latents(frame().sortValues("AUROC x", { ascending: false })), [1, 4, 2, 0, 3]);
  assert.deepEqual(latents(frame().sortValues("density", { ascending: false })), [2, 4, 1, 0, 3]);
  assert.deepEqual(latents(frame().sortValues("label")), [0, 1, 4, 3, 2]);
  const sorted = frame().sortValues("max");
  assert.deepEqual([sorted.index, sorted.dtypes, sorted.columns], [[1, 2, 0, 3, 4], frame().dtypes, frame().columns]);
  assert.deepEqual(latents(sorted.sortValues("latent", { ascending: false })), [4, 3, 2, 1, 0]); // a table that a method returned
  const inPlace = frame();
  assert.equal(inPlace.sortValues("max", { inplace: true } as { ascending?: boolean }), undefined);
  assert.deepEqual([latents(inPlace), inPlace.index], [[1, 2, 0, 3, 4], [1, 2, 0, 3, 4]]);
  assert.throws(() => frame().sortValues("beauty"), (error: Error) => error instanceof OptionError && /latent, density/.test(error.message));
});

test("a table filters, groups and shows itself", () => {
  const table = frame();
  const strong = table.query(table["density"].gt(0.08).and(table["verdict"].eq("survives")));
  assert.deepEqual(latents(strong as never), [0, 2, 4]);
  const means = table.groupby(["verdict"]).col(["density"]).mean();
  assert.deepEqual((means.values as [string, number][]).map(([name, mean]) => [name, mean.toFixed(4)]), [["survives", "0.2333"], ["position", "0.2000"], ["", "0.0500"]]);
  assert.match((strong as unknown as { [DISPLAY](): Bundle })[DISPLAY]()["text/plain"] as string, /latent +density +max/);
});

const figure = async (options: TablePlotOptions, table = frame()): Promise<{ figure: { data: Record<string, any>[]; layout: Record<string, any> }; words: string }> => {
  const bundle = await (tablePlot(table, options)[DISPLAY]() as Promise<Bundle>);
  assert.ok(bundle["image/png"]);
  return { figure: bundle["application/vnd.plotly.v1+json"] as never, words: bundle["text/plain"] as string };
};
const numbers = ({ bdata }: { bdata: string }): number[] => [...new Float32Array(new Uint8Array(Buffer.from(bdata, "base64")).buffer)];

test("points, histograms and bars, by what the columns are", async () => {
  const scatter = await figure({ x: "density", y: "AUROC x", color: "verdict" });
  assert.equal(scatter.words, "AUROC x by density: 3 rows, coloured by verdict.");
  assert.deepEqual(scatter.figure.data.map(({ name, x }) => [name, numbers(x)]), [["survives", [0.3, 0.3].map(Math.fround)], ["position", [Math.fround(0.2)]]]);
  assert.equal(scatter.figure.data[1].text[0], "latent 1<br>label B<br>verdict position<br>density 0.200<br>AUROC x 0.900");
  const shaded = await figure({ x: "density", y: "max", color: "AUROC x", log: true });
  assert.deepEqual(shaded.figure.data.map(({ name, text }) => [name, text.length]), [["none", 2], ["AUROC x", 3]]);
  assert.equal(shaded.figure.layout.xaxis.type, "log");
  const histogram = await figure({ x: "max" });
  assert.equal(numbers(histogram.figure.data[0].y).reduce((a, b) => a + b, 0), 5);
  assert.equal(histogram.words, "max: 5 rows, from 1.00 to 9.00.");
  const bars = await figure({ x: "verdict" });
  assert.deepEqual([numbers(bars.figure.data[0].y), bars.figure.layout.xaxis.ticktext], [[3, 1, 1], ["survives", "none", "position"]]);
  const means = await figure({ x: "verdict", y: "AUROC x" });
  assert.deepEqual(numbers(means.figure.data[0].y), [0.6, 0.9].map(Math.fround));
});

test("hostile texts stay texts; many rows are thinned out; refusals", async () => {
  const hostile = dataFrame([[1, 2, "<img src=x onerror=alert(1)>"], [2, 3, "\u202e</b>"]], ["a<b>", "y", "label"]);
  const { figure: drawn } = await figure({ x: "a<b>", y: "y", color: "label" }, hostile as never);
  const tags = (value: object): string => JSON.stringify(value).replaceAll("<br>", "").replaceAll("<extra></extra>", "");
  assert.doesNotMatch(tags(drawn), /[<>]/);
  assert.doesNotMatch(tags((await figure({ x: "label" }, hostile as never)).figure), /[<>]/);
  const many = dataFrame(Array.from({ length: 9000 }, (_, i) => [i, i % 7]), ["i", "j"]);
  const thin = await figure({ x: "i", y: "j" }, many as never);
  assert.deepEqual([numbers(thin.figure.data[0].x).length, thin.words], [3000, "j by i: 9,000 rows (one in 3 drawn)."]);
  for (const options of [{ x: "none" }, { x: "max", y: "label" }, { x: "max", y: "max", color: "none" }] as TablePlotOptions[]) assert.throws(() => tablePlot(frame(), options), OptionError, JSON.stringify(options));
  assert.throws(() => tablePlot(dataFrame([[NaN], [-1]], ["x"]) as never, { x: "x", log: true }), (error: Error) => error instanceof OptionError && /none above 0/.test(error.message));
});
