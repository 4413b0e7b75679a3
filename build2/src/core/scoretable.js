"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.verdictOf = verdictOf;
exports.scoresHtml = scoresHtml;
exports.scoresText = scoresText;
const html_1 = require("./html");
const FEWEST = 20; // held-out positives under which a score says nothing
/**
 * What a latent must beat to say more than they do. Text model, difference of means and probe combine much more, and are
 * there for comparison.
 */
const CONTROLS = [
    ["position", "position"],
    ["length", "length"],
    ["keyword", "keyword"],
    ["random direction", "not above random"],
];
/** The first control that reaches the latent names the verdict; all that do are warned of. */
function verdictOf(detectors, positives) {
    const [latent, ...others] = detectors;
    if (positives < FEWEST) {
        return {
            verdict: "undefined",
            warnings: [`only ${positives} held-out sentences carry it, ${FEWEST} are the least that say something`],
        };
    }
    const reaching = [];
    const close = [];
    for (const { kind, what, absent, heldout, lead } of others) {
        const name = kind === "keyword"
            ? `${absent ? "the absence of " : ""}the word “${what}”`
            : kind === "position" || kind === "length"
                ? `${kind} (${what})`
                : kind === "random direction"
                    ? "a random direction"
                    : `the ${kind}`;
        if (heldout >= latent.heldout)
            reaching.push(`${name} (${heldout.toFixed(2)})`);
        else if (CONTROLS.some(([control]) => control === kind) && lead[0] <= 0)
            close.push(`${name} (95 %: ${signed(lead[0])} to ${signed(lead[1])})`);
    }
    const warnings = [];
    if (reaching.length)
        warnings.push(`reached by ${reaching.join(", ")}`);
    if (close.length)
        warnings.push(`its lead is within chance over ${close.join(", ")}`);
    const reached = CONTROLS.find(([kind]) => others.some((one) => one.kind === kind && one.heldout >= latent.heldout));
    return { verdict: reached ? reached[1] : "above its controls", warnings };
}
const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;
const figure = (x) => (Number.isNaN(x) ? "–" : x.toFixed(2));
const SHOWN = [
    ["keyword", "best word"],
    ["random direction", "random direction"],
    ["position", "position"],
    ["length", "length"],
    ["text model", "text model"],
    ["difference of means", "difference of means"],
    ["probe", "probe"],
];
const signOf = ({ what, absent }) => (absent ? `no “${what}”` : what);
const of = ({ detectors }, kind) => detectors.find((one) => one.kind === kind);
function notes({ latents, poolings, train, heldout, skipped, leftOut = [], labels }) {
    return [
        `Figures are AUROC on ${(0, html_1.count)(heldout.sentences)} sentences of ${(0, html_1.count)(heldout.documents)} held-out documents; 95 % intervals by bootstrap over documents. ` +
            `AP is average precision, to be compared with the base rate.`,
        `${(0, html_1.count)(latents)} latents × ${poolings} poolings, as many random directions, and the presence and absence of every word were searched on ${(0, html_1.count)(train.sentences)} sentences of ${(0, html_1.count)(train.documents)} training documents.` +
            (skipped ? ` ${(0, html_1.count)(skipped)} sentences have no row and are left out.` : ""),
        ...(leftOut.length
            ? [
                `Not scored, as in training or in held-out documents no sentence carries them, or all do: ${leftOut.join(", ")}.`,
            ]
            : []),
        ...labels.filter(({ warnings }) => warnings.length).map(({ label, warnings }) => `${label}: ${warnings.join("; ")}.`),
        "A latent that scores high correlates with the label; to detect it, the probe or the difference of means is the better tool.",
    ];
}
/** A table of labels: the latent in colour, controls that reach it marked ≥. */
function scoresHtml(view) {
    const cell = "padding:0.25em 0.55em 0.25em 0;border:0;vertical-align:baseline";
    const right = `text-align:right;${cell};white-space:nowrap`;
    const left = `text-align:left;${cell}`;
    const code = (text) => `<code style="font-family:${html_1.MONO};background:transparent">${(0, html_1.escapeHtml)(text)}</code>`;
    const heads = [
        ["correlates with", left],
        ["latent", left],
        ["training", right],
        ["held-out", right],
        ["AP", right],
        ["base rate", right],
        ...SHOWN.map(([, name]) => [name, right]),
    ];
    const head = heads
        .map(([name, style]) => `<th style="${style};white-space:normal;border-bottom:${html_1.RULE};font-weight:600;vertical-align:bottom">${name}</th>`)
        .join("");
    const rows = view.labels
        .map((score) => {
        const latent = score.detectors[0];
        const controls = SHOWN.map(([kind]) => {
            const one = of(score, kind);
            if (!one)
                return `<td style="${right}">–</td>`;
            const reaches = one.heldout >= latent.heldout;
            const word = kind === "keyword" ? `<br>${one.absent ? "no " : ""}${code(one.what)}` : "";
            return (`<td style="${right}" title="${(0, html_1.escapeHtml)(`${signOf(one)}; of ${(0, html_1.count)(one.searched)}; training ${figure(one.train)}, AP ${figure(one.averagePrecision)}`)}">` +
                `${reaches ? `<b>≥ ${figure(one.heldout)}</b>` : figure(one.heldout)}${word}</td>`);
        }).join("");
        return (`<tr style="background:transparent"><td style="${left}"><b>${(0, html_1.escapeHtml)(score.label)}</b><br><span style="font-size:12px;opacity:0.8;white-space:nowrap">${score.verdict}</span></td>` +
            `<td style="${left};white-space:nowrap">${score.latent} <br><span style="font-size:12px;opacity:0.8">${score.pooling}</span></td><td style="${right}">${figure(latent.train)}</td>` +
            `<td style="${right}"><b style="background:${(0, html_1.shade)(Math.max(0, Math.min(1, 2 * latent.heldout - 1)) * 0.6 || 0)};padding:0 0.3em">${figure(latent.heldout)}</b>` +
            ` <span style="opacity:0.7">${figure(latent.interval[0])}–${figure(latent.interval[1])}</span></td>` +
            `<td style="${right}">${figure(latent.averagePrecision)}</td><td style="${right}">${(0, html_1.percent)(score.baseRate)}</td>${controls}</tr>`);
    })
        .join("");
    return (`<div class="saelab-scores ${html_1.PLAIN}" style="font-family:${html_1.SANS};font-size:13px;line-height:1.4;overflow-x:auto">` +
        `<table style="border-collapse:collapse;border:0;margin:0"><thead><tr>${head}</tr></thead><tbody>${rows}</tbody></table>` +
        `<ul style="font-size:12px;opacity:0.85;margin:0.6em 0 0;padding-left:1.3em">${notes(view)
            .map((note) => `<li>${(0, html_1.escapeHtml)(note)}</li>`)
            .join("")}</ul></div>`);
}
function scoresText(view) {
    const heads = [
        "correlates with",
        "latent",
        "training",
        "held-out",
        "AP",
        "base rate",
        ...SHOWN.map(([, name]) => name),
        "verdict",
    ];
    const rows = view.labels.map((score) => {
        const latent = score.detectors[0];
        return [
            score.label,
            `${score.latent} ${score.pooling}`,
            figure(latent.train),
            `${figure(latent.heldout)} [${figure(latent.interval[0])}, ${figure(latent.interval[1])}]`,
            figure(latent.averagePrecision),
            (0, html_1.percent)(score.baseRate),
            ...SHOWN.map(([kind]) => {
                const one = of(score, kind);
                return one
                    ? `${one.heldout >= latent.heldout ? "≥" : ""}${figure(one.heldout)}${kind === "keyword" ? ` ${signOf(one)}` : ""}`
                    : "–";
            }),
            score.verdict,
        ];
    });
    const width = heads.map((name, c) => Math.max(name.length, ...rows.map((row) => [...row[c]].length)));
    const lines = [heads, ...rows].map((row) => row
        .map((text, c) => (c < 2 || c === heads.length - 1 ? html_1.padEnd : html_1.padStart)(text, width[c]))
        .join("  ")
        .trimEnd());
    return [...lines, "", ...notes(view)].join("\n");
}
//# sourceMappingURL=scoretable.js.map