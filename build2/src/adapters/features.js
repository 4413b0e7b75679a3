"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.wholeNumber = void 0;
exports.openFeatures = openFeatures;
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const collect_1 = require("../core/collect");
const errors_1 = require("../core/errors");
const featuretable_1 = require("../core/featuretable");
const measure_1 = require("../core/measure");
const token_1 = require("../core/token");
const family_1 = require("./family");
const show_1 = require("./show");
const store_1 = require("./store");
const table_1 = require("./table");
const RARE = 1 / 50_000; // a latent that fires on fewer rows fires by accident
const wholeNumber = (name, value, least) => {
    if (!Number.isSafeInteger(value) || value < least)
        throw new errors_1.OptionError(`collect: ${name}: expected a whole number from ${least} on, found ${value}.`);
};
exports.wholeNumber = wholeNumber;
/**
 * Opens what `collect` wrote. Statistics are read at once, examples and codes when they are asked for.
 * @throws FormatError if the folder is no such family, of another version, or damaged
 */
async function openFeatures(path, options = {}) {
    if (!(0, node_fs_1.existsSync)(path))
        await (0, family_1.tidy)((0, node_path_1.resolve)(path));
    const manifest = (0, family_1.readManifest)(path);
    const F = manifest.sae.latents;
    const { statistics, examples, names, codes } = (0, family_1.openFamily)(path, manifest);
    const { fired, mean, max, histogram, entropy, distinct, trigger, triggerMean } = statistics;
    const part = examples.ints;
    const texts = new Map();
    const words = {
        token(id) {
            if (!texts.has(id))
                texts.set(id, id in names.tokens ? (0, token_1.bytesToText)(Buffer.from(names.tokens[id], "base64")) : `‹${id}›`);
            return texts.get(id);
        },
        document: (index) => names.documents[index] ?? String(index),
    };
    let store = options.store;
    const feature = (latent, most = Infinity) => {
        if (!Number.isInteger(latent) || latent < 0 || latent >= F)
            throw new errors_1.OptionError(`${path}: expected a latent from 0 to ${F - 1}, found ${latent}.`);
        const [a, b] = part("offset", latent, latent + 2);
        const meta = (name) => part(name, a, b);
        const [group, times, document, position, peak, goesOn] = [
            meta("group"),
            meta("count"),
            meta("document"),
            meta("position"),
            meta("peak"),
            meta("goesOn"),
        ];
        const start = part("start", a, b + 1);
        const tokens = part("tokens", start[0], start[b - a]);
        const values = examples.floats("values", start[0], start[b - a]);
        const groups = collect_1.GROUPS.map(() => []);
        group.forEach((g, e) => {
            if (groups[g].length >= most)
                return;
            groups[g].push({
                tokens: tokens.slice(start[e] - start[0], start[e + 1] - start[0]),
                values: values.slice(start[e] - start[0], start[e + 1] - start[0]),
                peak: peak[e],
                document: document[e],
                position: position[e],
                count: times[e],
                goesOn: goesOn[e] === 1,
            });
        });
        const triggers = Array.from({ length: collect_1.TRIGGERS }, (_, i) => latent * collect_1.TRIGGERS + i)
            .filter((i) => trigger[i] >= 0)
            .map((i) => ({ token: trigger[i], text: words.token(trigger[i]), mean: triggerMean[i] }));
        const plain = {
            latent,
            density: fired[latent] / manifest.rows,
            mean: mean[latent],
            max: max[latent],
            histogram: (0, collect_1.histogramOf)(histogram.subarray(latent * collect_1.BINS, (latent + 1) * collect_1.BINS)),
            top: groups[0],
            more: collect_1.GROUPS.slice(1)
                .map((name, g) => ({ name, examples: groups[g + 1] }))
                .filter((one) => one.examples.length),
            entropy: entropy[latent],
            distinctTokens: distinct[latent],
            triggers,
            words,
        };
        const one = (0, show_1.showing)(plain, () => (0, show_1.heatMap)(one)[show_1.DISPLAY]());
        return one;
    };
    const orders = {
        max: (f) => -max[f],
        mean: (f) => -mean[f],
        density: (f) => -fired[f],
        entropy: (f) => entropy[f],
    };
    const top = (topOptions = {}) => {
        const { count: wanted = 20, by = "max", latents, examples: most, dense = false, rare = false } = topOptions;
        if (!(by in orders))
            throw new errors_1.OptionError(`top: by: expected one of ${Object.keys(orders).join(", ")}, found "${by}".`);
        (0, exports.wholeNumber)("count", wanted, 1);
        const order = orders[by];
        const chosen = latents ??
            Array.from(fired.keys())
                .filter((f) => fired[f] > 0 && (dense || fired[f] <= measure_1.DENSE * manifest.rows) && (rare || fired[f] >= RARE * manifest.rows))
                .sort((f, g) => order(f) - order(g) || f - g)
                .slice(0, wanted);
        const list = Object.assign(chosen.map((latent) => feature(latent, most)), { words });
        return (0, show_1.showing)(list, () => (0, show_1.heatMap)(list, { count: list.length, examples: most })[show_1.DISPLAY]());
    };
    const features = (0, show_1.showing)({
        path,
        manifest,
        count: F,
        rows: manifest.rows,
        words,
        fired,
        statistics: { density: Float32Array.from(fired, (n) => n / manifest.rows), mean, max },
        feature: (latent) => feature(latent),
        top,
        table: () => (0, table_1.dataFrame)((0, featuretable_1.featureRows)({ rows: manifest.rows, fired, mean, max, entropy, distinct, trigger, words }), featuretable_1.FEATURE_COLUMNS),
        card: (latent) => (0, show_1.heatMap)(feature(latent), { layout: "wrap", context: manifest.settings.context }),
        codes(from, to) {
            if (!(0 <= from && from <= to && to <= manifest.rows))
                throw new errors_1.OptionError(`${path}: expected rows 0 ≤ from ≤ to ≤ ${manifest.rows}, found ${from}, ${to}.`);
            return codes.read(from, to);
        },
        async store() {
            store ??= await (0, store_1.openStore)((0, node_path_1.resolve)(path, manifest.store.path));
            (0, family_1.sameStore)(store, manifest, path);
            return store;
        },
        close() {
            examples.close();
            codes.close();
        },
    }, () => (0, show_1.heatMap)(top())[show_1.DISPLAY]());
    return features;
}
//# sourceMappingURL=features.js.map