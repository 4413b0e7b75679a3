"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.column = column;
exports.trainingFigure = trainingFigure;
exports.scatterFigure = scatterFigure;
const html_1 = require("./html");
const ORANGE = "#d9660a";
const BLUE = "#3b6ea8";
const INK = "#2b2f36";
const GRID = "#e4e7eb";
const LINE = "#9aa2ad";
/** @param values any numbers; written as float32 */
function column(values) {
    const bytes = new Uint8Array(Float32Array.from(values).buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192)
        text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return { dtype: "f4", bdata: btoa(text) };
}
const axis = (more = {}) => ({
    gridcolor: GRID,
    linecolor: LINE,
    showline: true,
    zeroline: false,
    ticks: "outside",
    tickcolor: LINE,
    ...more,
});
/** A logarithmic axis with its numbers written out: 1, 2, 5 of each decade when there are few, else the decades. */
function logAxis(values, more = {}) {
    const positive = Array.from(values).filter((value) => value > 0 && Number.isFinite(value));
    const least = positive.length ? positive.reduce((a, b) => Math.min(a, b)) : 0.1;
    const largest = positive.length ? positive.reduce((a, b) => Math.max(a, b)) : 1;
    const low = Math.log10(least) - 0.06 * Math.max(0.5, Math.log10(largest / least));
    const high = Math.log10(largest) + 0.06 * Math.max(0.5, Math.log10(largest / least));
    const steps = high - low < 0.9 ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8] : high - low < 2.5 ? [1, 2, 5] : [1];
    const tickvals = [];
    for (let decade = Math.floor(low); decade <= high; decade++) {
        for (const step of steps)
            if (Math.log10(step) + decade >= low && Math.log10(step) + decade <= high)
                tickvals.push(Number(`${step}e${decade}`));
    }
    return axis({ type: "log", range: [low, high], tickmode: "array", tickvals, ticktext: tickvals.map(String), ...more });
}
/**
 * Names of the axes as annotations: where they stand then does not hang on measured text, which a picture drawn without a
 * browser lacks.
 */
const naming = (x, left, right) => {
    const name = (text, color, where) => ({
        text,
        xref: "paper",
        yref: "paper",
        showarrow: false,
        font: { size: 13, color },
        ...where,
    });
    return [
        name(x, INK, { x: 0.5, y: 0, yshift: -48, xanchor: "center", yanchor: "middle" }),
        name(left, right ? ORANGE : INK, { x: 0, y: 1, yshift: 14, xshift: -52, xanchor: "left", yanchor: "middle" }),
        ...(right ? [name(right, BLUE, { x: 1, y: 1, yshift: 14, xshift: 44, xanchor: "right", yanchor: "middle" })] : []),
    ];
};
const frame = (title, more) => ({
    width: 760,
    height: 380,
    margin: { l: 64, r: 56, t: 76, b: 60 },
    title: { text: title, x: 0.015, xanchor: "left", y: 0.95, yanchor: "top", font: { size: 16 } },
    font: { family: "Open Sans, system-ui, sans-serif", size: 13, color: INK },
    paper_bgcolor: "#ffffff",
    plot_bgcolor: "#fafbfc",
    ...more,
});
const CONFIG = { displaylogo: false, responsive: true };
/**
 * Fraction of variance unexplained (left, logarithmic) and share of dead latents (right) against the tokens seen.
 * @throws RangeError without points
 */
function trainingFigure(curve, title = "Training") {
    if (!curve.length)
        throw new RangeError("expected at least one point of the training curve, found none");
    const tokens = column(curve.map((point) => point.tokens));
    const dead = curve.map((point) => 100 * point.dead);
    const first = curve[0];
    const last = curve.at(-1);
    return {
        words: `${title}: over ${(0, html_1.count)(last.tokens)} tokens the variance left unexplained went from ${(0, html_1.short)(first.fvu)} to ${(0, html_1.short)(last.fvu)}; ` +
            `${(0, html_1.percent)(last.dead)} of the latents are dead at the end.`,
        figure: {
            data: [
                {
                    type: "scatter",
                    mode: curve.length > 1 ? "lines" : "markers",
                    name: "FVU",
                    x: tokens,
                    y: column(curve.map((point) => point.fvu)),
                    line: { color: ORANGE, width: 2 },
                },
                {
                    type: "scatter",
                    mode: curve.length > 1 ? "lines" : "markers",
                    name: "dead latents",
                    x: tokens,
                    y: column(dead),
                    yaxis: "y2",
                    line: { color: BLUE, width: 1.5, dash: "dot" },
                },
            ],
            layout: frame(title, {
                xaxis: axis({ rangemode: "tozero" }),
                yaxis: logAxis(curve.map((point) => point.fvu)),
                yaxis2: axis({
                    overlaying: "y",
                    side: "right",
                    showgrid: false,
                    tickmode: "auto",
                    range: [0, Math.max(5, 1.1 * Math.max(...dead))],
                }),
                annotations: naming("tokens", "FVU (logarithmic)", "dead latents, %"),
                showlegend: false,
            }),
            config: CONFIG,
        },
    };
}
const MOST_POINTS = 4_000;
/**
 * Each living latent as a point: on how many rows it fires against its maximum, both logarithmic.
 * Of more than 4,000 latents every so-manieth is drawn, and the title says so.
 */
function scatterFigure(density, max, title = "Features") {
    const alive = Array.from({ length: density.length }, (_, f) => f).filter((f) => density[f] > 0);
    const step = Math.ceil(alive.length / MOST_POINTS) || 1;
    const drawn = alive.filter((_, i) => i % step === 0);
    const dense = alive.filter((f) => density[f] > 0.1).length;
    const dead = density.length - alive.length;
    return {
        words: `${title}: of ${(0, html_1.count)(density.length)} latents ${(0, html_1.count)(dead)} are dead and ${(0, html_1.count)(dense)} fire on more than a tenth of the tokens.`,
        figure: {
            data: [
                {
                    type: "scatter",
                    mode: "markers",
                    name: "latent",
                    x: column(drawn.map((f) => 100 * density[f])),
                    y: column(drawn.map((f) => max[f])),
                    customdata: column(drawn),
                    hovertemplate: "latent %{customdata}<br>fires on %{x:.3g} %<br>maximum %{y:.3g}<extra></extra>",
                    marker: { color: ORANGE, size: 5, opacity: 0.55 },
                },
            ],
            layout: frame(`${title}: ${(0, html_1.count)(alive.length)} living, ${(0, html_1.count)(dead)} dead${step > 1 ? ` (one in ${step} drawn)` : ""}`, {
                xaxis: logAxis(drawn.map((f) => 100 * density[f])),
                yaxis: logAxis(drawn.map((f) => max[f])),
                showlegend: false,
                annotations: naming("fires on % of rows (logarithmic)", "maximum (logarithmic)"),
                shapes: [
                    { type: "line", x0: 10, x1: 10, y0: 0, y1: 1, yref: "paper", line: { color: LINE, width: 1, dash: "dash" } },
                ],
            }),
            config: CONFIG,
        },
    };
}
//# sourceMappingURL=plot.js.map