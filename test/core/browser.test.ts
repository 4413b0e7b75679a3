import assert from "node:assert/strict";
import { test } from "node:test";
import { openBrowser, packBrowser, type Browser, type PackedBrowser } from "../../src/core/browser";
import { foundText, rowHtml, toolbarHtml, valueText } from "../../src/core/browserhtml";
import { columnNamed, matching, ordered, type Marks } from "../../src/core/browserquery";
import { mergeBins } from "../../src/core/featurehead";
import { packArray, packWhole, unpackArray } from "../../src/core/packedarray";
import { HOSTILE, madeBrowser } from "../lab/made";

const view = madeBrowser({ count: 60, examples: 4, hostile: true });
const packed = packBrowser(view);
const opened = openBrowser(JSON.parse(JSON.stringify(packed)) as PackedBrowser); // as a notebook's file gives it back
const none: Marks = { pinned: new Set(), notes: new Map() };
const find = (query: string, marks = none, browser: Browser = opened): number[] => matching(browser, query, marks).places;
const firing = (accept: (token: string) => boolean) =>
  view.features.flatMap(({ groups }, place) => (groups.some(({ examples }) => examples.some(({ tokens, values }) => tokens.some((token, i) => values[i] > 0 && accept(token)))) ? [place] : []));

test("arrays of numbers come back from their strings, in as few bytes as they need", () => {
  for (const values of [Uint8Array.of(0, 255), Uint16Array.of(256, 65_535), Uint32Array.of(2 ** 32 - 1), Float32Array.of(NaN, -0.5, Infinity), new Uint8Array(0)]) assert.deepEqual(unpackArray(packArray(values), "x"), values);
  assert.deepEqual([[255], [256], [65_536]].map((values) => packWhole(values).split(":")[0]), ["u8", "u16", "u32"]);
  for (const [text, length, told] of [["u16:AAE=", 2, /x: expected 2 numbers \(u16\), found 1/], ["u16:AA==", undefined, /expected whole numbers/], ["i8:AA==", 1, /expected numbers such as/], [undefined, 1, /found undefined/], ["u8:<b>", 1, /found "u8:<b>"/]] as const)
    assert.throws(() => unpackArray(text, "x", length), { name: "FormatError", message: told });
});

test("features come back as they were: activations to a 65,535th of the maximum, facts to five digits", () => {
  assert.equal(opened.count, 60);
  view.features.forEach((feature, place) => {
    const { groups, histogram, density, mean, max, ...facts } = opened.feature(place);
    const { groups: wantedGroups, histogram: wantedHistogram, density: _, mean: __, max: wantedMax, ...wantedFacts } = feature;
    assert.deepEqual(JSON.parse(JSON.stringify(facts, (_, v: unknown) => (typeof v === "number" ? Number(v.toPrecision(5)) : v))), JSON.parse(JSON.stringify(wantedFacts, (_, v: unknown) => (typeof v === "number" ? Number(v.toPrecision(5)) : v))));
    assert.deepEqual(histogram.counts, mergeBins(wantedHistogram).counts);
    groups[0].examples.forEach(({ values, ...example }, e) => {
      const { values: wanted, ...wantedExample } = wantedGroups[0].examples[e];
      assert.deepEqual(example, wantedExample);
      values.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) <= (wantedMax / 65_535) * 0.51 + wanted[i] * 5e-5, `${value} ${wanted[i]}`));
    });
  });
  for (const [c, { name, values }] of view.columns.entries()) assert.deepEqual(opened.columns[c], { name, values: Array.isArray(values) ? values.map((text) => text || undefined) : values });
});

test("lists of facts may be typed arrays", () => {
  const [feature] = view.features;
  const position = { mean: 12, early: 0.1, deciles: Float32Array.of(0.5, 0.25, 0.25) };
  const [back] = [openBrowser(packBrowser({ ...view, columns: [], features: [{ ...feature, position }] })).feature(0)];
  assert.deepEqual(back.position, { mean: 12, early: 0.1, deciles: [0.5, 0.25, 0.25] });
});

test("a damaged output, or one of another version, says what to do", () => {
  const broken = (change: Partial<Record<keyof PackedBrowser, unknown>>): PackedBrowser => ({ ...packed, ...change }) as PackedBrowser;
  assert.throws(() => openBrowser(broken({ version: 2 })), /expected version 1, found 2\. Install the extension/);
  assert.throws(() => openBrowser(broken({ latents: packed.latents.slice(0, -8) })), { name: "FormatError" });
  assert.throws(() => openBrowser(broken({ facts: packed.facts.slice(1) })), /facts: expected 60, one a latent, found 59/);
  for (const name of ["examples", "length", "tokens", "firing", "share", "peak"] as const) assert.throws(() => openBrowser(broken({ [name]: packWhole([1, 2, 3]) })), /expected \d+ numbers .*found 3/, name);
  // indices that lead nowhere are shown as nothing
  const astray = openBrowser(broken({ strings: [] }));
  assert.equal(astray.feature(0).groups[0].examples[0].tokens.join(""), "");
});

test("words are found in tokens that fire, labels, verdicts, notes and numbers", () => {
  assert.deepEqual(find(""), [...Array(60).keys()]);
  const wait = find("wait");
  assert.deepEqual(wait, firing((token) => token.includes("wait")));
  assert.ok(wait.length > 0 && wait.length < 60);
  assert.deepEqual(find("WAIT"), wait);
  assert.deepEqual(find("token:wait"), firing((token) => token.trim() === "wait"));
  assert.ok(find("in:wait").length > wait.length, "contexts hold more than what fires");
  const latent = opened.latents[7];
  assert.ok(find(String(latent)).includes(7));
  assert.deepEqual(find("survives"), find("verdict:survives"));
  assert.deepEqual(find("mine", { ...none, notes: new Map([[latent, "Mine, all"]]) }), [7]);
  assert.deepEqual(find(`"<script>globalThis"`), firing((token) => token.includes("<script>globalThis")));
  assert.deepEqual(find("no-such-token-anywhere"), []);
});

test("a closed row shows the example in which the word was found", () => {
  const { places, example } = matching(opened, "alternatively", none);
  for (const place of places) {
    const e = example.get(place)!;
    const has = ({ tokens, values }: { tokens: string[]; values: number[] }): boolean => tokens.some((token, i) => values[i] > 0 && token.includes("alternatively"));
    assert.equal(e, view.features[place].groups[0].examples.findIndex(has));
    const html = rowHtml(opened, opened.feature(place), { place, open: false, pinned: false, example: e, id: "b" });
    assert.match(html, /alternatively/);
  }
  assert.ok(places.some((place) => example.get(place)! > 0));
});

test("conditions: columns, marks, not, all of them; what names no column is told", () => {
  const density = opened.columns.find(({ name }) => name === "density")!.values as Float32Array;
  const auroc = opened.columns.find(({ name }) => name === "AUROC backtracking")!.values as Float32Array;
  const where = (test: (place: number) => boolean): number[] => [...Array(60).keys()].filter(test);
  assert.deepEqual(find("density<0.1%"), where((i) => density[i] < 0.001));
  assert.deepEqual(find("density>=0.001 -wait"), where((i) => density[i] >= Math.fround(0.001) && !find("wait").includes(i)));
  assert.deepEqual(find(`"AUROC backtracking">0.7`), where((i) => auroc[i] > 0.7));
  assert.deepEqual(find("auroc<0.6"), where((i) => auroc[i] < 0.6), "the beginning of a name that only one column has");
  assert.deepEqual(find(`latent=${opened.latents[3]}`), [3]);
  assert.deepEqual(find("is:pinned", { pinned: new Set([opened.latents[5]]), notes: new Map() }), [5]);
  assert.deepEqual(find("is:labelled"), where((i) => i % 3 === 0));
  assert.deepEqual(find("-is:labelled"), where((i) => i % 3 !== 0));
  assert.deepEqual(matching(opened, "densty<1", none).unknown, ["densty"]);
  assert.deepEqual(matching(opened, "12:30", none), { places: [], unknown: [], example: new Map() }, "a text with a colon is a text");
  assert.deepEqual(matching(opened, "density<x", none).unknown, ["density"]);
  for (const odd of ["\"", "-", "<", ":", "a:\"", "\u202e", "<<>>", "=5", "\\"]) assert.doesNotThrow(() => find(odd), odd);
});

test("a column orders: largest or first of the alphabet first, none last, ties as they were", () => {
  const all = [...Array(60).keys()];
  const auroc = opened.columns.find(({ name }) => name === "AUROC backtracking")!.values as Float32Array;
  const there = all.filter((i) => !Number.isNaN(auroc[i]));
  const missing = all.filter((i) => Number.isNaN(auroc[i]));
  assert.ok(missing.length);
  assert.deepEqual(ordered(opened, all, "AUROC backtracking"), [...there.toSorted((a, b) => auroc[b] - auroc[a] || a - b), ...missing]);
  assert.deepEqual(ordered(opened, all, "AUROC backtracking", true), [...there.toSorted((a, b) => auroc[a] - auroc[b] || a - b), ...missing]);
  const verdicts = ordered(opened, all, "verdict").map((i) => view.features[i].verdict);
  assert.deepEqual(verdicts.filter(Boolean), ["survives", "survives", "survives", "survives", "survives", "survives", "token detector", "token detector", "token detector", "token detector", "token detector", "token detector"]);
  assert.equal(ordered(opened, all, "no column"), all);
  assert.equal(columnNamed(opened.columns, "e")?.name, "entropy");
  assert.equal(columnNamed(opened.columns, ""), undefined);
});

test("rows and tools are text where it comes from the notebook", () => {
  const evil = madeBrowser({ count: 4, examples: 3, hostile: true });
  evil.columns.push({ name: "<b>name</b>", values: Float32Array.of(1, NaN, 2, 3) }, { name: "</select>", values: ["<i>x</i>", undefined, "", "y"] });
  const browser = openBrowser(packBrowser(evil));
  const notes = new Map([[browser.latents[0], "</textarea><script>1</script>"]]);
  const html = [0, 1, 2, 3].flatMap((place) => [true, false].map((open) =>
    rowHtml(browser, browser.feature(place), { place, open, pinned: open, note: notes.get(browser.latents[place]), sort: browser.columns.at(-1), id: "b" }))).join("") + toolbarHtml(browser, "max", "b");
  assert.doesNotMatch(html, /<(script|img|i)\b|<b>(label|name)|<\/pre><\/div><img|<b> document/);
  assert.match(html, /&lt;script&gt;globalThis/);
  assert.equal(html.match(/<textarea/g)!.length, html.match(/<\/textarea>/g)!.length);
  assert.equal(html.match(/<select/g)!.length, html.match(/<\/select>/g)!.length);
  assert.ok(HOSTILE.some((token) => token.length === 10_000) && !html.includes("a".repeat(300)), "a blob is cut");
  assert.match(html, /more characters/);
});

test("values read as they do elsewhere", () => {
  const column = (name: string, value: number | string | undefined) => valueText({ name, values: typeof value === "number" ? Float32Array.of(value) : [value] }, 0);
  assert.deepEqual([column("density", 0.0041), column("latent", 65_535), column("max", 12.345), column("documents", 1234), column("x", NaN), column("label", undefined), column("label", "a\nb")], ["0.41 %", "65535", "12.3", "1,234", "", "", "a↵b"]);
  assert.equal(foundText(opened, 60, []), "60 of 65,536 latents");
  assert.equal(foundText(opened, 2, ["x\u202e"]), "2 of 60 features found (60 of 65,536 latents); no column “x‹U+202E›”");
});
