"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.createHistory = createHistory;
/** A glob with * and ? over a whole text. */
const globbed = (pattern) => new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*").replace(/\?/g, ".")}$`, "su");
/** The counted cells of this session. */
function createHistory() {
    const entries = [];
    return {
        add: (line, source) => void entries.push({ line, source, result: null }),
        result(line, text) {
            const entry = entries.at(-1);
            if (entry?.line === line)
                entry.result = text;
        },
        find({ hist_access_type = "tail", output = false, session = 0, start = 1, stop, n = 10, pattern = "*", unique = false }) {
            let found = entries;
            if (hist_access_type === "range") {
                found = session === 0 ? entries.filter(({ line }) => line >= start && (stop === undefined || stop === null || line < stop)) : [];
            }
            else {
                if (hist_access_type === "search") {
                    const glob = globbed(pattern);
                    found = entries.filter(({ source }) => glob.test(source));
                }
                if (unique)
                    found = found.filter(({ source }, i) => found.findLastIndex((each) => each.source === source) === i);
                found = n > 0 ? found.slice(-n) : [];
            }
            return { status: "ok", history: found.map(({ line, source, result }) => [0, line, output ? [source, result] : source]) };
        },
    };
}
//# sourceMappingURL=history.js.map