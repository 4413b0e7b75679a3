import assert from "node:assert/strict";
import { test } from "node:test";
import { documentHtml, documentText, documentView, firingOn, MOST_LATENTS, packDocument, unpackDocument } from "../../src/core/documentview";
import { cardHtml, cardText, packCard, unpackCard, type CardView } from "../../src/core/featurecard";
import { flagsOf } from "../../src/core/featurehead";
import { featureView, heatMapHtml, heatMapText, heatMapView, packHeatMap, unpackHeatMap } from "../../src/core/heatmap";
import { OptionError } from "../../src/core/errors";
import { brief, shadeOf } from "../../src/core/shading";
import { packText, strongest, textHtml, textText, unpackText, type TextView } from "../../src/core/textview";
import type { Document } from "../../src/core/types";
import { documents, featureCases, hostile, HOSTILE, known, text } from "../views/featurecases";

const words = { token: (id: number) => `t${id}`, document: (index: number) => `d${index}` };
const json = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
/** Activations as they come back from three digits. */
const rounded = (values: ArrayLike<number>): number[] => Array.from(values, (value) => Number(value.toPrecision(3)));
const bytes = (html: string): number => Buffer.byteLength(html);

for (const { name, html } of featureCases.filter((one) => one.name.includes("hostile"))) {
  test(`${name}: nothing of a token is markup, no direction mark and no control is left`, () => {
    const tags = html.replace(/"[^"]*"/g, '""'); // what stands in quotes is a value, and escaped
    for (const pattern of [/<script|<\/script|<img/i, /<[^>]*\son\w+=/i]) assert.equal(pattern.exec(tags), null);
    assert.equal(/[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069]/.exec(html), null);
    // what would end the element that holds it is there, as text
    assert.ok(html.includes("&lt;/pre&gt;"));
    assert.equal(html.split("<pre").length, html.split("</pre>").length);
  });
}

test("a long token is cut, with how much is left out; a character is not halved", () => {
  assert.equal(brief("x".repeat(10_000)), `${"x".repeat(199)}‹… 9,801 more characters›`);
  assert.equal(brief("👩".repeat(30), 11), `${"👩".repeat(5)}‹… 50 more characters›`);
  assert.equal(brief("x".repeat(210)), "x".repeat(210)); // cutting would make it longer
});

test("logarithmic shade: a hundredth of the maximum is seen, the whole is full; the legend says so", () => {
  assert.deepEqual([0, 0.01, 0.1, 1].map((of) => Number(shadeOf(of, "log").toFixed(3))), [0, 0.149, 0.519, 1]);
  const view = heatMapView([known], words, { shading: "log" });
  assert.match(heatMapHtml(view), /% of the feature’s maximum, logarithmic/);
  assert.match(heatMapHtml(view), /rgba\(255,140,26,0\.40\)" title="0\.400"/); // .4 of 7.31
  assert.match(heatMapText(view, { color: false }), /Shades are logarithmic\./);
  assert.equal(unpackHeatMap(json(packHeatMap(view))).shading, "log");
  assert.throws(() => heatMapView([known], words, { shading: "square" as never }), OptionError);
});

test("context: a number of tokens, or all that were collected, on as many lines as they take", () => {
  const [example] = known.top;
  const whole = heatMapView([known], words, { context: "whole" });
  assert.equal(whole.features[0].groups[0].examples[0].tokens.length, example.tokens.length);
  assert.match(heatMapHtml(whole, { context: "whole" }), /white-space:pre-wrap/);
  assert.equal(heatMapView([known], words, { context: 0 }).features[0].groups[0].examples[0].tokens.length, 1);
  for (const context of [-1, 1.5, "all"]) assert.throws(() => heatMapView([known], words, { context: context as never }), /context: expected a whole number from 0 on, or "whole"/);
});

test("header: label, verdict, shares, logits, documents, flags; nothing of what is not known; packed it is the same", () => {
  const view = heatMapView([known, hostile, { ...known, latent: 1, label: undefined, verdict: undefined, logits: undefined, tokenShares: undefined, documents: undefined, position: undefined }], words);
  const [first, second, bare] = heatMapHtml(view).split("<section").slice(1);
  for (const part of ["correlates with backtracking", ">survives<", "in 231 documents", "“ wait”</bdi> 41.0 %", "makes likelier", "“ no”</bdi> +1.31", "less likely", "“ therefore”</bdi> −1.02"]) assert.ok(first.includes(part), part);
  assert.match(second, />dense<.*>mostly one token<.*>mostly first five tokens<.*in 1 document</s);
  assert.doesNotMatch(bare, /likelier|document<|survives|mostly|activation goes/);
  assert.deepEqual(flagsOf({ density: 0, tokenShares: [{ text: "a", share: 1 }] }), ["dead"]);
  const again = unpackHeatMap(json(packHeatMap(view)));
  assert.equal(heatMapHtml(again), heatMapHtml(view));
  assert.equal(heatMapText(again), heatMapText(view));
});

test("typed text: strongest latents of a token by activation, then by number; packed it is the same", () => {
  const view: TextView = { ...text, top: 2, latents: [{ latent: 9, max: 4, values: [0, 2] }, { latent: 3, max: 4, values: [0, 2] }, { latent: 7, max: 4, values: [0, 3] }], tokens: ["a", "b"] };
  assert.deepEqual(strongest(view, 1).map(({ latent }) => latent), [7, 3]);
  assert.deepEqual(strongest(view, 0), []);
  const again = unpackText(json(packText(text, "id")));
  assert.deepEqual(again, { ...text, latents: text.latents.map((one) => ({ ...one, values: rounded(one.values) })) });
  assert.equal(packText(text, "id").live, "id");
  assert.equal("live" in packText(text), false);
  assert.equal(textText(again), textText(text));
});

test("typed text: shaded by the latent's maximum, or by the text's; labels, verdicts and dense ones are said", () => {
  assert.match(textHtml(text), /rgba\(255,140,26,0\.97\);color:#000" title="7\.10"><b><u> wait<\/u><\/b>/);
  assert.match(textHtml(text), /title="latent 812: 7\.10; correlates with backtracking; \[survives\]; fires on 0\.41 % of rows"/);
  assert.match(textHtml({ ...text, of: "text" }), /% of this text’s maximum/);
  assert.match(textHtml({ ...text, latents: [{ ...text.latents[0], density: 0.3 }] }), /dense/);
  assert.match(textHtml(text), />not encoded</);
});

test("typed text: of a long one lines, then tokens are left out, and it says so", () => {
  const tokens = Array.from({ length: 600 }, (_, i) => ` word${i}`);
  const latents = Array.from({ length: 40 }, (_, l) => ({ latent: l, max: 9, values: tokens.map((_, i) => ((i * 7 + l) % 40 ? 0 : 9 - l / 9)) }));
  const long: TextView = { ...text, tokens, latents, skipped: 1, notes: [] };
  const html = textHtml(long, { bytes: 60_000 });
  assert.ok(bytes(html) <= 60_000, `${bytes(html)}`);
  assert.match(html, /\d+ of 40 latents have a line/);
  assert.match(html, /The first \d+ of 600 tokens have a row/);
  assert.match(html, /<details><summary[^>]*>token by token/);
  assert.match(textText(long, false), /The first 40 of 600 tokens have a row\./);
  for (const line of textText(long, false).split("\n").filter((one) => one.includes("⟦"))) assert.ok(line.length < 140, line);
});

const document: Document = { id: "d", text: "No way. Hm", spans: [{ start: 8, end: 10, label: "doubt" }, { start: 0, end: 7, label: "denial" }] };
const tokens = { start: [0, 2, 6, 7], end: [2, 6, 7, 10] };

test("document: the pieces are the text, cut at tokens and where sentences begin; activations go with their tokens", () => {
  const view = documentView(document, tokens, [{ latent: 5, max: 4, values: [1, 0, 2, 4] }]);
  assert.deepEqual(view.pieces, ["No", " way", ".", " ", "Hm"]);
  assert.deepEqual(Array.from(view.latents[0].values), [1, 0, 2, 4, 4]);
  assert.deepEqual(view.labels, [{ name: "denial", letter: "D", begins: [0] }, { name: "doubt", letter: "O", begins: [4] }]);
  // two tokens that are parts of one character: the one that fires most
  const halves = documentView({ id: "é", text: "é!", spans: [] }, { start: [0, 0, 1], end: [1, 1, 2] }, [{ latent: 5, max: 4, values: [1, 3, 0] }]);
  assert.deepEqual([halves.pieces, Array.from(halves.latents[0].values)], [["é", "!"], [3, 0]]);
});

test("document: the ground is the latent that fires most of its own maximum, bars the next two; letters, bold and peaks say it too", () => {
  const view = documentView(document, tokens, [
    { latent: 5, max: 4, values: [1, 0, 0, 0] }, { latent: 6, max: 100, values: [90, 0, 0, 10] }, { latent: 7, max: 2, values: [1, 0, 0, 0] },
  ]);
  assert.deepEqual(firingOn(view, 0).map(({ place }) => place), [1, 2, 0]);
  const [, first] = /<pre[^>]*>.*?(<span style="background.*?<\/span>)/s.exec(documentHtml(view))!;
  assert.match(first, /background:rgba\(58,134,214,0\.46\);border-bottom:2px solid rgba\(46,160,100,0\.7\);border-top:2px solid rgba\(255,140,26,0\.55\)/);
  assert.match(first, /title="b latent 6: 90\.0 \(90 %\)\nc latent 7: 1\.00 \(50 %\)\na latent 5: 1\.00 \(25 %\)"/);
  assert.match(first, /<sup[^>]*>a<\/sup><sup[^>]*>b<\/sup><sup[^>]*>c<\/sup><b><u>No<\/u><\/b>/);
  assert.doesNotMatch(documentHtml(view), /data-/);
  assert.match(documentHtml(view, { numbered: true }), /<span style="[^"]*" data-piece="0"/);
  assert.equal(documentText(view, false).split("\n").at(-1), "[D]‹a›‹b›‹c›No way. [O]Hm");
});

test("document: text on a full ground is readable on white and on black, whatever the latent's colour", () => {
  const light = (channel: number): number => ((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))(channel / 255);
  const luminance = (rgb: number[]): number => 0.2126 * light(rgb[0]) + 0.7152 * light(rgb[1]) + 0.0722 * light(rgb[2]);
  const contrast = (a: number[], b: number[]): number => ((x, y) => (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05))(luminance(a), luminance(b));
  const latents = Array.from({ length: MOST_LATENTS }, (_, i) => ({ latent: i, max: 1, values: Array.from({ length: MOST_LATENTS }, (_, t) => Number(t === i)) }));
  const view = documentView({ id: "d", text: "abcdefgh", spans: [] }, { start: [...Array(8).keys()], end: Array.from({ length: 8 }, (_, i) => i + 1) }, latents);
  const grounds = [...documentHtml(view).matchAll(/background:rgba\((\d+),(\d+),(\d+),([\d.]+)\)/g)].map(([, ...parts]) => parts.map(Number));
  assert.ok(grounds.length >= 2 * MOST_LATENTS);
  for (const [r, g, b, alpha] of grounds) {
    for (const [page, ink] of [[255, 33], [17, 255]]) {
      const ground = [r, g, b].map((channel) => alpha * channel + (1 - alpha) * page);
      const found = contrast(ground, [ink, ink, ink]);
      assert.ok(found >= 4.5, `${r},${g},${b} on ${page}: ${found}`);
    }
  }
});

test("document: packed it is the same; a shaded line break is seen; a long one is cut and says so", () => {
  const again = unpackDocument(json(packDocument(documents)));
  assert.deepEqual(again, { ...documents, latents: documents.latents.map((one) => ({ ...one, values: rounded(one.values) })) });
  assert.equal(documentHtml(again), documentHtml(documents));
  const breaks = documentView({ id: "d", text: "a\nb", spans: [] }, { start: [0, 1, 2], end: [1, 2, 3] }, [{ latent: 1, max: 1, values: [0, 1, 0] }]);
  assert.match(documentHtml(breaks), /<u>↵\n<\/u>/);
  const html = documentHtml(documentView({ id: "d", text: "a ".repeat(50_000), spans: [] }, { start: [], end: [] }, []), { bytes: 20_000 });
  assert.match(html, /a a/);
  const many = Array.from({ length: 5000 }, (_, i) => 2 * i);
  const cut = documentHtml(documentView({ id: "d", text: "a ".repeat(5000), spans: [] }, { start: many, end: many.map((i) => i + 1) }, [{ latent: 1, max: 1, values: many.map(() => 1) }]), { bytes: 20_000 });
  assert.ok(bytes(cut) < 20_000);
  assert.match(cut, /The last [\d,]+ characters are not shown/);
});

test("card: what is known has a panel, what is not has none; packed it is the same; examples go where it is too long", () => {
  const card: CardView = { feature: featureView(known, words, { context: "whole" }), latents: 10, hook: "layers.1", rows: 1000, entropy: 3, triggers: [], together: [{ latent: 3, count: 5, score: 0.25 }], columns: [{ name: "AUROC x", value: 0.5 }] };
  const html = cardHtml(card);
  for (const title of ["How often, how strongly", "Where its activation goes", "What it writes", "Where in a document", "Fires together with", "Found later"]) assert.ok(html.includes(title), title);
  assert.ok(!html.includes("Tokens of largest mean"));
  assert.match(html, /spread as over 8\.00 equal tokens \(3\.00 bits\)/);
  assert.match(cardText(card, false), /fires together with 3 \(0\.250\)\n {2}AUROC x 0\.500/);
  assert.equal(cardHtml(unpackCard(json(packCard(card)))), html);
  const many = { ...card, feature: { ...card.feature, groups: [{ name: "top", examples: Array.from({ length: 64 }, () => card.feature.groups[0].examples[0]) }] } };
  const short = cardHtml(many, { bytes: 30_000 });
  assert.ok(bytes(short) <= 30_000 && bytes(cardHtml(many)) > 30_000);
  assert.match(short, /At most \d+ examples of each kind are shown/);
});

test("twenty features of twelve examples with all their facts stay within 200 KB, whole", () => {
  const features = Array.from({ length: 20 }, (_, latent) => ({
    ...known, latent, top: Array.from({ length: 12 }, () => ({ ...known.top[0], tokens: Int32Array.from({ length: 33 }, (_, i) => i), values: Float32Array.from({ length: 33 }, (_, i) => (i > 12 && i < 20 ? 1 + i / 9 : 0)), peak: 19 })),
  }));
  const html = heatMapHtml(heatMapView(features, { ...words, token: (id) => ` word${id}` }));
  assert.ok(bytes(html) <= 200_000, `${bytes(html)}`);
  assert.match(html, /latent 19</);
});

test("ten thousand characters are nowhere in a header", () => {
  assert.ok(HOSTILE.some((one) => one.length === 10_000));
  const header = heatMapHtml(heatMapView([{ ...hostile, top: [], more: [] }], words));
  assert.ok(bytes(header) < 8_000, `${bytes(header)}`);
});
