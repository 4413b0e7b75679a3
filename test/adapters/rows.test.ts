import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { storeRows, type RowSource } from "../../src/adapters/rows";
import { OptionError, StoreError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import type { Store } from "../../src/core/types";
import { memoryStore } from "../planted";

/** Two hooks: each row holds its number; in "wide" its number and a half. 30 rows a document, 1,600 in all. */
const WIDTHS: Record<string, number> = { narrow: 4, wide: 6 };
const ROWS = 1600;
const RANGES = [{ from: 3, to: 700 }, { from: 900, to: 1500 }, { from: 1510, to: 1511 }];
const TOTAL = 1298;
const NARROW_POOL = 4 * 4 * 600, BOTH_POOL = 4 * 10 * 600; // 600 rows

function numbered(reads: number[] = [], bad = -1): Store {
  return {
    ...memoryStore(new Float32Array(ROWS), 1, { document: 30 }),
    path: "numbered",
    hook: (name) => name!,
    width: (hook) => WIDTHS[hook],
    read(hook, from, to) {
      reads.push(to - from);
      const d = WIDTHS[hook];
      return Float32Array.from({ length: (to - from) * d }, (_, i) => {
        const row = from + Math.floor(i / d);
        return row === bad ? Infinity : row + (hook === "wide" ? 0.5 : 0);
      });
    },
  };
}

/** Numbers of the next n rows. */
function drawn(source: RowSource, n: number): number[] {
  const x = source.next(n) as Float32Array[];
  return Array.from({ length: n }, (_, i) => x[0][i * source.widths[0]]);
}

const hash = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);

for (const [kind, bytes, first, digest] of [
  ["memory", undefined, [1284, 1044, 1025, 499, 299, 110, 632, 905], "585be061cd93dec5"],
  ["blocks", NARROW_POOL, [242, 142, 601, 247, 143, 60, 659, 646], "d4d2318aba8b615f"],
] as const) {
  test(`${kind}: one hook's rows come in the order of version 0.2, however they are batched`, () => {
    const source = storeRows(numbered(), ["narrow"], RANGES, 7, { bytes });
    assert.equal(source.kind, kind);
    const rows = [1, 999, 250, 1750].flatMap((n) => drawn(source, n));
    assert.deepEqual(rows.slice(0, 8), first);
    assert.equal(hash(rows), digest);
  });

  test(`${kind}: a source made from a state goes on as if it had not been stopped`, () => {
    const hooks = ["narrow", "wide"], options = { bytes: bytes && BOTH_POOL };
    const whole = storeRows(numbered(), hooks, RANGES, 3, options);
    assert.equal(whole.kind, kind);
    const rows = drawn(whole, 6 * TOTAL);
    for (const stop of [0, 1, 417, TOTAL, 2 * TOTAL, 2 * TOTAL + 1, 4000]) {
      const before = storeRows(numbered(), hooks, RANGES, 3, options);
      if (stop) drawn(before, stop);
      const state = JSON.parse(JSON.stringify(before.state()));
      const reads: number[] = [];
      const after = storeRows(numbered(reads), hooks, RANGES, 3, { ...options, state });
      // a pool is read once, however many rows went through it: 2 hooks × 600 rows, with what lies between them
      if (kind === "blocks") assert.ok(reads.reduce((a, b) => a + b, 0) <= 2 * ROWS, `${reads}`);
      assert.deepEqual(drawn(after, 6 * TOTAL - stop), rows.slice(stop), `stopped after ${stop}`);
      assert.deepEqual(after.state(), whole.state());
    }
  });

  test(`${kind}: hooks give rows of the same tokens, fresh arrays, and their documents`, () => {
    const source = storeRows(numbered(), ["wide", "narrow"], RANGES, 1, { bytes: bytes && BOTH_POOL });
    assert.deepEqual([source.hooks, source.widths, source.rows], [["wide", "narrow"], [6, 4], TOTAL]);
    const [wide, narrow] = source.next(500) as Float32Array[];
    const documents = source.documents();
    const kept = [wide.slice(), narrow.slice()];
    for (let i = 0; i < 500; i++) {
      const row = narrow[i * 4];
      assert.ok(RANGES.some(({ from, to }) => from <= row && row < to));
      assert.deepEqual([...narrow.subarray(i * 4, i * 4 + 4)], Array(4).fill(row));
      assert.deepEqual([...wide.subarray(i * 6, i * 6 + 6)], Array(6).fill(row + 0.5));
      assert.equal(documents[i], Math.floor(row / 30));
    }
    source.next(500);
    assert.deepEqual([wide, narrow], kept);
    const sample = source.sample(40, random(0)) as Float32Array[];
    assert.deepEqual(sample.map(({ length }) => length), [240, 160]);
    const places = Array.from({ length: 40 }, (_, i) => sample[1][i * 4]);
    assert.ok(places.every((row, i) => i === 0 || row > places[i - 1]), "different rows, in the store's order");
    assert.ok(places.every((row, i) => sample[0][i * 6] === row + 0.5));
    assert.equal((source.sample(5000, random(0)) as Float32Array[])[0].length, TOTAL * 6);
  });

  test(`${kind}: a row that is no number is named`, () => {
    const find = (): void => {
      const source = storeRows(numbered([], 444), ["narrow", "wide"], RANGES, 1, { bytes: bytes && BOTH_POOL });
      for (let i = 0; i < 20; i++) source.next(500);
    };
    assert.throws(find, (error: Error) => error instanceof StoreError && /^numbered: narrow: expected finite activations, found Infinity in row 444\./.test(error.message));
  });
}

test("a state of other rows is refused by name; so are no rows", () => {
  const { json } = storeRows(numbered(), ["narrow"], RANGES, 7).state();
  const again = (hooks: string[], seed: number, bytes?: number, ranges = RANGES): (() => void) => () => storeRows(numbered(), hooks, ranges, seed, { bytes, state: { json, arrays: {} } });
  const refuses = (make: () => void, message: RegExp): void =>
    assert.throws(make, (error: Error) => error instanceof StoreError && message.test(error.message));
  again(["narrow"], 7)();
  refuses(again(["narrow"], 8), /seed is 7, asked for was 8/);
  refuses(again(["narrow", "wide"], 7), /hooks is \["narrow"\], asked for was \["narrow","wide"\]/);
  refuses(again(["narrow"], 7, NARROW_POOL), /bytes is 2147483648, asked for was 9600/);
  refuses(again(["narrow"], 7, undefined, [{ from: 0, to: TOTAL }]), /ranges is "\w+", asked for was "\w+"/);
  for (const make of [again([], 7), again(["narrow"], 7, undefined, [])]) assert.throws(make, OptionError);
});
