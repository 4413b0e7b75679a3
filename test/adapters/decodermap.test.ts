import assert from "node:assert/strict";
import { test } from "node:test";
import { decoderMap } from "../../src/adapters/decodermap";
import type { Features } from "../../src/adapters/features";
import { saeOf } from "../../src/adapters/sae";
import { DISPLAY, type Bundle } from "../../src/adapters/show";
import { mapFigure } from "../../src/core/decodermap";
import { OptionError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import type { Sae } from "../../src/core/types";

/** Latents around some directions; latent 5 has none. */
function grouped(latents: number, d: number, groups: number, spread = 0.3): Sae {
  const rng = random(1);
  const centres = Array.from({ length: groups }, () => Float32Array.from({ length: d }, () => rng.normal()));
  const wDec = new Float32Array(latents * d);
  for (let f = 0; f < latents; f++) for (let i = 0; i < d; i++) wDec[f * d + i] = (1 + (f % 7)) * (centres[f % groups][i] + spread * rng.normal());
  wDec.fill(0, 5 * d, 6 * d);
  return saeOf({ d, latents, k: 2, wEnc: wDec.slice(), bEnc: new Float32Array(latents), wDec, bDec: new Float32Array(d) });
}

const asFeatures = (latents: number): Features => ({
  path: "f", count: latents, rows: 100,
  fired: Int32Array.from({ length: latents }, (_, f) => (f === 2 ? 0 : f === 3 ? 50 : 1 + (f % 5))),
  statistics: { density: Float32Array.from({ length: latents }, (_, f) => (1 + (f % 5)) / 100), mean: new Float32Array(latents).fill(1), max: Float32Array.from({ length: latents }, (_, f) => f) },
  column: (name: string) => {
    if (name === "verdict") return Array.from({ length: latents }, (_, f) => (f % 3 ? `verdict ${f % 3}` : undefined));
    if (name === "AUROC <b>") return Float32Array.from({ length: latents }, (_, f) => (f % 2 ? NaN : f / latents));
    throw new OptionError(`no column ${name}`);
  },
  feature: (latent: number) => ({ latent, label: latent === 7 ? '<img src=x onerror="alert(1)">' : undefined, density: 0.01, triggers: [{ text: " wait\n" }, { text: "\u202e" }] }),
}) as unknown as Features;

const nearestIn = (x: Float32Array, y: Float32Array, i: number): number =>
  Array.from(x, (_, j) => j).filter((j) => j !== i).reduce((best, j) => (Math.hypot(x[j] - x[i], y[j] - y[i]) < Math.hypot(x[best] - x[i], y[best] - y[i]) ? j : best), i ? 0 : 1);

test("UMAP: latents of a group lie together; the same seed gives the same map, another another", async () => {
  const sae = grouped(90, 24, 3);
  const map = await decoderMap(sae);
  assert.equal(map.latents.length, 89);
  assert.ok(!map.latents.includes(5));
  const together = Array.from(map.latents, (f, i) => f % 3 === map.latents[nearestIn(map.x, map.y, i)] % 3).filter(Boolean).length;
  assert.equal(together, 89);
  assert.deepEqual((await decoderMap(sae)).x, map.x);
  assert.notDeepEqual((await decoderMap(sae, { seed: 1 })).x, map.x);
});

test("PCA: coordinates and shares are those of the definition, whichever side is smaller", async () => {
  for (const [latents, d] of [[60, 6], [12, 40]]) {
    const sae = grouped(latents, d, 3);
    const map = await decoderMap(sae, { method: "pca" });
    const n = map.latents.length;
    const rows = Array.from(map.latents, (f) => {
      const row = [...sae.weights.wDec.subarray(f * d, (f + 1) * d)];
      const norm = Math.hypot(...row);
      return row.map((value) => value / norm);
    });
    const mean = rows[0].map((_, j) => rows.reduce((sum, row) => sum + row[j], 0) / n);
    const X = rows.map((row) => row.map((value, j) => value - mean[j]));
    // power iteration, the first direction taken out before the second
    let rest = X;
    const total = X.flat().reduce((sum, value) => sum + value * value, 0);
    const words = ((await (map[DISPLAY]() as Promise<Bundle>))["text/plain"] as string);
    [map.x, map.y].forEach((got, axis) => {
      let v = rest[0].map((_, j) => 1 + ((j * 7) % 5));
      for (let i = 0; i < 2000; i++) {
        const along = rest.map((row) => row.reduce((sum, value, j) => sum + value * v[j], 0));
        v = v.map((_, j) => rest.reduce((sum, row, r) => sum + row[j] * along[r], 0));
        const norm = Math.hypot(...v);
        v = v.map((value) => value / norm);
      }
      const want = rest.map((row) => row.reduce((sum, value, j) => sum + value * v[j], 0));
      const sign = Math.sign(want.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0));
      want.forEach((value, i) => assert.ok(Math.abs(sign * value - got[i]) < 2e-4, `${sign * value} ${got[i]}`));
      const share = want.reduce((sum, value) => sum + value * value, 0) / total;
      assert.ok(words.includes(`${(100 * share).toPrecision(3).replace(/^(\d\.\d)\d$/, "$1")} %`), `${share} ${words}`);
      rest = rest.map((row, r) => row.map((value, j) => value - want[r] * v[j]));
    });
  }
});

test("with features: the strongest living ones, words where the mouse is, colours by column; nothing in it is taken for HTML", async () => {
  const features = asFeatures(40);
  const sae = grouped(40, 8, 4);
  const map = await decoderMap(sae, { features, method: "pca", count: 35 });
  assert.deepEqual([...map.latents], Array.from({ length: 40 }, (_, f) => f).filter((f) => ![0, 1, 2, 3, 4, 5].includes(f)).slice(-35).filter((f) => f !== 5));
  const bundle = await (map[DISPLAY]() as Promise<Bundle>);
  const figure = bundle["application/vnd.plotly.v1+json"] as { data: { text: string[]; name: string; marker: { colorbar: { ticktext: string[] } } }[] };
  const texts = figure.data.flatMap(({ text }) => text);
  const seven = texts.find((text) => text.startsWith("latent 7<"));
  assert.equal(seven, "latent 7<br>&lt;img src=x onerror=&quot;alert(1)&quot;&gt;<br>wait ‹U+202E›<br>fires on 1.0 %");
  assert.ok(texts.every((text) => !/<(?!br>)/.test(text)));
  assert.ok(bundle["image/png"]);
  assert.match(bundle["text/plain"] as string, /34 of 40 latents in two dimensions \(PCA, .*\), coloured by density\.$/);

  const of = async (color: string) => ((await (await decoderMap(sae, { features, method: "pca", color, latents: [10, 11, 12, 13, 14] }))[DISPLAY]())["application/vnd.plotly.v1+json"] as typeof figure).data;
  assert.deepEqual((await of("verdict")).map(({ name, text }) => [name, text.length]), [["none", 1], ["verdict 1", 2], ["verdict 2", 2]]);
  assert.deepEqual((await of("AUROC <b>")).map(({ name, text }) => [name, text.length]), [["none", 2], ["AUROC &lt;b&gt;", 3]]);
});

test("refusals", async () => {
  const sae = grouped(20, 8, 2);
  for (const options of [{ method: "tsne" as never }, { latents: [20] }, { latents: [1, 2] }, { count: 2 }, { neighbours: 1 }, { color: "density" }, { features: asFeatures(19) }, { features: asFeatures(20), color: "none" }])
    await assert.rejects(decoderMap(sae, options), OptionError, JSON.stringify(options));
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  flag.requested = true;
  try {
    await assert.rejects(decoderMap(sae), /Interrupted/);
  } finally {
    flag.requested = false;
  }
});

test("many texts: the commonest have a colour, the others are named so", () => {
  const n = 30;
  const values = Array.from({ length: n }, (_, i) => `v${i % 10}`);
  const { figure } = mapFigure({ latents: Int32Array.from(values.keys()), x: new Float32Array(n), y: new Float32Array(n), hover: values.map(() => []), color: { name: "c", values }, method: "umap", total: n });
  assert.deepEqual(figure.data.map(({ name }) => name), ["others", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7"]);
});
