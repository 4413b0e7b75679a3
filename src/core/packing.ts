/** Arrays as strings, for JSON that notebook files keep: they write a number of a list on each line. */

/** Texts as indices into one list of the different ones. */
export function textIndex(): { strings: string[]; pack(texts: string[]): string } {
  const index = new Map<string, number>();
  const strings: string[] = [];
  return {
    strings,
    pack: (texts) =>
      texts
        .map((text) => {
          if (!index.has(text)) index.set(text, strings.push(text) - 1);
          return index.get(text)!;
        })
        .join(" "),
  };
}

export const packNumbers = (values: ArrayLike<number>): string => Array.from(values, (v) => Number(v.toPrecision(3))).join(" ");
export const numbers = (text: string): number[] => (text ? text.split(" ").map(Number) : []);

/** Only what is not 0: "3:1.2 7:0.4". */
export const packSparse = (values: ArrayLike<number>): string =>
  Array.from(values, (v, i) => (v ? `${i}:${Number(v.toPrecision(3))}` : ""))
    .filter(Boolean)
    .join(" ");

export function unpackSparse(text: string, length: number): number[] {
  const values = new Array<number>(length).fill(0);
  for (const pair of text ? text.split(" ") : []) {
    const [at, value] = pair.split(":").map(Number);
    values[at] = value;
  }
  return values;
}
