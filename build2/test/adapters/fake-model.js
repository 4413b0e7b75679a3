"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.SINK = exports.WIDTH = void 0;
exports.fakeRow = fakeRow;
exports.fakeModel = fakeModel;
exports.fakeDocuments = fakeDocuments;
const hookname_1 = require("../../src/core/hookname");
/**
 * A model that is a formula: one token a UTF-16 unit, rows that depend on token and position within the context alone, so that every row of a store can be foretold.
 * Position 0 is an attention sink (100 × longer), the character § one in the middle of a text (50 × longer).
 */
exports.WIDTH = 8;
exports.SINK = "§".charCodeAt(0);
function fakeRow(hook, id, position) {
    const row = new Float32Array(exports.WIDTH);
    const scale = position === 0 ? 100 : id === exports.SINK && hook === "layers.1" ? 50 : 1;
    for (let j = 0; j < exports.WIDTH; j++)
        row[j] = scale * Math.sin((id + 1) * (j + 1) + hook.length + position / 7);
    return row;
}
function fakeModel({ hash = "a".repeat(64), delay = 0, onRun, poison } = {}) {
    const layers = 3;
    return {
        source: "fake",
        family: "fake",
        layers,
        width: exports.WIDTH,
        vocabularySize: 2 ** 16,
        tokenizer: {
            vocabularySize: 2 ** 16,
            encode: (text) => ({
                ids: Int32Array.from(text, (_, i) => text.charCodeAt(i)).slice(0, text.length),
                start: Int32Array.from({ length: text.length }, (_, i) => i),
                end: Int32Array.from({ length: text.length }, (_, i) => i + 1),
            }),
            decode: (ids) => String.fromCharCode(...Array.from(ids)),
            bytes: (id) => new TextEncoder().encode(String.fromCharCode(id)),
            isSpecial: () => false,
            chat: (messages) => messages.map(({ content }) => content).join(""),
        },
        hash: async () => hash,
        hooks: () => (0, hookname_1.allHooks)(layers).map((hook) => ({ ...hook, transformerLens: (0, hookname_1.transformerLensName)(hook), width: exports.WIDTH, shape: `[tokens, ${exports.WIDTH}]` })),
        hook: (name) => {
            const { kind, layer } = (0, hookname_1.parseHook)(name, layers);
            return (0, hookname_1.makeHook)(kind, layer);
        },
        async run(texts, { hooks = [] }) {
            const batch = texts;
            await onRun?.(batch.map(({ length }) => length));
            if (delay)
                await new Promise((resolve) => setTimeout(resolve, delay));
            return Object.fromEntries(hooks.map((hook) => {
                const rows = new Float32Array(batch.reduce((sum, { length }) => sum + length, 0) * exports.WIDTH);
                let at = 0;
                for (const ids of batch) {
                    for (let position = 0; position < ids.length; position++, at += exports.WIDTH) {
                        rows.set(fakeRow(hook, ids[position], position), at);
                        if (ids[position] === poison)
                            rows[at + 3] = NaN;
                    }
                }
                return [hook, rows];
            }));
        },
        generate: () => { throw new Error("a formula writes nothing"); },
        unembed: async () => { throw new Error("a formula has no head"); },
        describe: () => "a formula",
        close: async () => { },
    };
}
/** Documents of unequal lengths, some longer than a context, from a seed. */
function fakeDocuments(count, seed = 1) {
    let state = seed;
    const next = (below) => {
        state = (state * 48271) % 0x7fffffff;
        return state % below;
    };
    return Array.from({ length: count }, (_, i) => ({
        id: `doc ${i}`,
        text: Array.from({ length: 2 + next(60) }, () => (next(40) === 0 ? "§" : String.fromCharCode(97 + next(26)))).join(""),
        spans: [],
    }));
}
//# sourceMappingURL=fake-model.js.map