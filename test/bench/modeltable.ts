/** Tokens a CPU-second by contestant, one number a round. */
export type Samples = Record<string, number[]>;

export interface Row {
  row: string;
  title: string;
  cells: string[];
  goal?: string;
  met?: boolean;
  ratio?: number;
  ratioOf?: string;
  values: Record<string, number>;
}

export const median = (values: number[]): number => values.slice().sort((a, b) => a - b)[values.length >> 1];
const three = (value: number): string => (value < 100 ? value.toPrecision(3) : Math.round(value).toString());

/**
 * A row of rates, median and best. The ratio is ours (packed) over the fastest contestant whose name begins with `over`, round by round, as both ran
 * within the same seconds; the median of the rounds counts.
 */
export function rateRow(row: string, title: string, samples: Samples, { over, least }: { over: string; least: number }): Row {
  const names = Object.keys(samples);
  const rival = names.filter((name) => name.startsWith(over)).sort((a, b) => median(samples[b]) - median(samples[a]))[0];
  const mine = samples["ours packed"];
  const ratio = rival ? median(mine.map((value, i) => value / samples[rival][i])) : undefined;
  return {
    row, title, goal: `≥ ${least}`, met: ratio === undefined ? undefined : ratio >= least, ratio, ratioOf: rival && `ours packed over ${rival}`,
    cells: names.map((name) => `${name} ${three(median(samples[name]))} (${three(Math.max(...samples[name]))})`),
    values: Object.fromEntries(names.flatMap((name) => [[name, Number(three(median(samples[name])))], [`${name}, best`, Number(three(Math.max(...samples[name])))]])),
  };
}

export function markdown(rows: Row[], missing: string[]): string {
  const line = (cells: string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(["", "median (best)", "ratio", "goal"]),
    line(["---", "---", "---", "---"]),
    ...rows.map(({ title, cells, ratio, ratioOf, goal, met }) => line([
      title, cells.join("<br>"), ratio === undefined ? "" : `${ratio.toFixed(2)} ${ratioOf}`, goal ? `${goal}${met === undefined ? "" : met ? " met" : " **not met**"}` : "",
    ])),
    ...(missing.length ? ["", ...missing.map((what) => `Missing: ${what}.`)] : []),
  ].join("\n");
}
