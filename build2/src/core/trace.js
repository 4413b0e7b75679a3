"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.lettersOf = lettersOf;
exports.traceView = traceView;
exports.traceHtml = traceHtml;
exports.traceText = traceText;
const html_1 = require("./html");
const token_1 = require("./token");
/**
 * Eight hues that differ in lightness too, none of them the heat map's orange; each readable as a bar on white and on
 * black.
 */
const COLORS = [
    [58, 134, 214],
    [46, 160, 100],
    [196, 86, 170],
    [214, 64, 69],
    [120, 110, 210],
    [0, 152, 160],
    [150, 120, 60],
    [120, 130, 140],
];
/** A letter for each label: its own first one where that is free, else another of its letters, else a number. */
function lettersOf(labels) {
    const taken = new Set();
    return labels.map((label, i) => {
        const letters = [label.toUpperCase(), ...label.toUpperCase()]
            .map((part) => part[0])
            .filter((letter) => /\p{L}/u.test(letter ?? ""));
        const letter = letters.find((one) => !taken.has(one)) ?? String(i + 1);
        taken.add(letter);
        return letter;
    });
}
/**
 * @param labels in the order of their colours; those of the document, by first appearance, when absent
 * @param tokens offsets and a latent's activation at each token, for the shaded kind
 */
function traceView(document, labels, tokens) {
    const { id, text, spans = [] } = document;
    const sorted = [...spans].sort((a, b) => a.start - b.start || b.end - a.end);
    const names = labels ?? [...new Set(sorted.map(({ label }) => label))];
    const letters = lettersOf(names);
    // where the text is cut: at the ends of spans and of tokens
    const cuts = new Set([0, text.length]);
    for (const { start, end } of spans)
        cuts.add(Math.max(0, start)).add(Math.min(text.length, end));
    const valueAt = new Map();
    for (let t = 0; tokens && t < tokens.values.length; t++) {
        cuts.add(tokens.start[t]).add(tokens.end[t]);
        if (tokens.end[t] > tokens.start[t])
            valueAt.set(tokens.start[t], Math.max(valueAt.get(tokens.start[t]) ?? 0, tokens.values[t]));
    }
    const at = [...cuts].sort((a, b) => a - b);
    const pieces = [];
    let open = 0; // spans that end before here are passed for good
    let value = 0;
    for (let i = 0; i + 1 < at.length; i++) {
        while (open < sorted.length && sorted[open].end <= at[i])
            open++;
        let found = -1;
        for (let s = open; s < sorted.length && sorted[s].start <= at[i]; s++)
            if (sorted[s].end > at[i])
                found = s;
        value = valueAt.get(at[i]) ?? value;
        pieces.push({
            text: text.slice(at[i], at[i + 1]),
            ...(tokens ? { value } : {}),
            ...(found < 0 ? {} : { label: sorted[found].label, begins: sorted[found].start === at[i] }),
        });
    }
    return {
        id,
        pieces,
        ...(tokens ? { latent: { number: tokens.latent, max: tokens.max } } : {}),
        labels: names.map((name, l) => ({
            name,
            letter: letters[l],
            color: COLORS[l % COLORS.length],
            sentences: spans.filter(({ label }) => label === name).length,
        })),
    };
}
/** Text with its line breaks kept, and shown. */
const shownText = (text) => text
    .split("\n")
    .map((line) => (/^ +$/.test(line) ? line : (0, token_1.visible)(line).replace(/·+$/, (dots) => " ".repeat(dots.length))))
    .join("\n");
const rgba = ([r, g, b], alpha) => `rgba(${r},${g},${b},${alpha})`;
/** Survives JupyterLab's sanitiser unchanged. */
function traceHtml({ id, pieces, labels, latent }) {
    const byName = new Map(labels.map((label) => [label.name, label]));
    let peak = -1;
    if (latent)
        pieces.forEach(({ value = 0 }, i) => value > 0 && (peak < 0 || value > pieces[peak].value) && (peak = i));
    let body = "";
    for (let i = 0; i < pieces.length;) {
        const label = byName.get(pieces[i].label ?? "");
        let j = i + 1;
        while (j < pieces.length && pieces[j].label === pieces[i].label && !pieces[j].begins)
            j++;
        let inner = "";
        for (let p = i; p < j; p++) {
            const t = latent && latent.max > 0 ? Math.min(1, (pieces[p].value ?? 0) / latent.max) : 0;
            let text = (0, html_1.escapeHtml)(shownText(pieces[p].text));
            if (t >= 0.005) {
                if (p === peak)
                    text = `<u>${text}</u>`;
                if (t >= 0.5)
                    text = `<b>${text}</b>`;
                text = `<span style="background:${(0, html_1.shade)(t)}${t >= 0.66 ? ";color:#000" : ""}" title="${(0, html_1.short)(pieces[p].value)}">${text}</span>`;
            }
            inner += text;
        }
        if (label) {
            const mark = pieces[i].begins ? `<sup style="font-size:10px;line-height:0;opacity:0.85">${label.letter}</sup>` : "";
            const ground = latent ? "" : `background:${rgba(label.color, 0.12)};`;
            inner = `<span style="${ground}border-bottom:2px solid ${rgba(label.color, 0.85)};padding-bottom:1px" title="${(0, html_1.escapeHtml)(label.name)}">${mark}${inner}</span>`;
        }
        body += inner;
        i = j;
    }
    const legend = labels
        .filter(({ sentences }) => sentences)
        .map(({ name, letter, color, sentences }) => `<span><span style="${latent ? "" : `background:${rgba(color, 0.12)};`}border-bottom:2px solid ${rgba(color, 0.85)}"><sup style="font-size:10px;line-height:0">${letter}</sup>${(0, html_1.escapeHtml)(name)}</span> ${(0, html_1.count)(sentences)}</span>`)
        .join(" ");
    const scale = latent
        ? `<span>shaded by latent ${latent.number}, full at its maximum ${(0, html_1.short)(latent.max)}; peak underlined</span>`
        : "";
    return (`<div class="saelab-trace ${html_1.PLAIN}" style="font-family:${html_1.SANS};font-size:13px;line-height:1.5;border-top:${html_1.RULE};padding-top:0.5em">` +
        `<div style="display:flex;flex-wrap:wrap;gap:0.1em 1.2em;align-items:baseline;margin-bottom:0.5em"><strong>${(0, html_1.escapeHtml)((0, token_1.visible)(id))}</strong> ${scale} ${legend}</div>` +
        `<pre style="margin:0;padding:0;border:0;background:transparent;font-family:${html_1.MONO};font-size:13px;line-height:1.75;white-space:pre-wrap;word-break:normal;overflow-wrap:break-word">${body}</pre></div>`);
}
/** The same for a terminal: letters in brackets where a sentence begins. */
function traceText({ id, pieces, labels, latent }, color = true) {
    const paint = (0, html_1.ansi)(color);
    const byName = new Map(labels.map((label) => [label.name, label]));
    const body = pieces
        .map(({ text, value = 0, label, begins }) => {
        const found = byName.get(label ?? "");
        const t = latent && latent.max > 0 ? Math.min(1, value / latent.max) : 0;
        const shown = shownText(text);
        const painted = t >= 0.005
            ? paint(`38;2;0;0;0;48;2;255;${Math.round(236 - 96 * t)};${Math.round(214 - 188 * t)}`, shown)
            : found && !latent
                ? shown
                    .split("\n")
                    .map((line) => paint(`4;38;2;${found.color.join(";")}`, line))
                    .join("\n")
                : shown;
        return `${found && begins ? `[${found.letter}]` : ""}${painted}`;
    })
        .join("");
    const width = Math.max(0, ...labels.map(({ name }) => (0, html_1.columns)(name)));
    const legend = labels
        .filter(({ sentences }) => sentences)
        .map(({ name, letter, sentences }) => `  [${letter}] ${(0, html_1.padEnd)(name, width)}  ${(0, html_1.count)(sentences)}`);
    return [`${id}${latent ? `, shaded by latent ${latent.number}` : ""}`, ...legend, "", body].join("\n");
}
//# sourceMappingURL=trace.js.map