import type { Content } from "./wire";

/** What history_request asks for. */
export interface HistoryQuery {
  hist_access_type?: string; // "tail", "range" or "search"
  output?: boolean;
  session?: number; // of "range": 0 is this one; there are no others
  start?: number;
  stop?: number;
  n?: number;
  pattern?: string; // of "search": a glob with * and ?
  unique?: boolean;
}

export interface History {
  add(line: number, source: string): void;
  /** What a cell showed as its result, as text. */
  result(line: number, text: string): void;
  find(query: HistoryQuery): Content;
}

/** A glob with * and ? over a whole text. */
const globbed = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*").replace(/\?/g, ".")}$`, "su");

/** The counted cells of this session. */
export function createHistory(): History {
  const entries: { line: number; source: string; result: string | null }[] = [];
  return {
    add: (line, source) => void entries.push({ line, source, result: null }),
    result(line, text) {
      const entry = entries.at(-1);
      if (entry?.line === line) entry.result = text;
    },
    find({ hist_access_type = "tail", output = false, session = 0, start = 1, stop, n = 10, pattern = "*", unique = false }) {
      let found = entries;
      if (hist_access_type === "range") {
        found = session === 0 ? entries.filter(({ line }) => line >= start && (stop === undefined || stop === null || line < stop)) : [];
      } else {
        if (hist_access_type === "search") {
          const glob = globbed(pattern);
          found = entries.filter(({ source }) => glob.test(source));
        }
        if (unique) found = found.filter(({ source }, i) => found.findLastIndex((each) => each.source === source) === i);
        found = n > 0 ? found.slice(-n) : [];
      }
      return { status: "ok", history: found.map(({ line, source, result }) => [0, line, output ? [source, result] : source]) };
    },
  };
}
