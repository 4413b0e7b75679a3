import { test } from "node:test";
import assert from "node:assert/strict";
import { HookError, OptionError } from "../../src/core/errors";
import type { EditPlace, GenerateOptions, Model, Piece, Positions, Write } from "../../src/core/types";
import { close, golden, noise, opened } from "./tiny";

const PROMPTS = ["Wait, let me check: 12 + 30 = 42, so the answer is right.", "The rain", "We know that a = b."];

/** Positions as a run over the text so far would have to say them: there, all tokens are given. */
const absolute = (at: Positions | undefined, prompt: number): Positions | undefined => {
  const of = (position: number): number => (position < 0 ? prompt + position : position);
  if (at === undefined) return undefined;
  if (at === "prompt") return { to: prompt };
  if (at === "generated") return { from: prompt };
  if (typeof at === "number") return of(at);
  if (Array.isArray(at)) return at.map(of);
  return { from: at.from && of(at.from), to: at.to && of(at.to) };
};

/** Greedy tokens by full runs over the text so far, without a cache, token by token. */
async function byRuns(model: Model, prompt: string, count: number, writes: Write[]): Promise<number[]> {
  const given = [...model.tokenizer.encode(prompt).ids];
  const ids = [...given];
  const there = writes.map((write) => ({ ...write, at: absolute(write.at, given.length), keys: absolute(write.keys, given.length) }));
  for (let i = 0; i < count; i++) {
    const { logits } = await model.run([ids], { logits: true, writes: there });
    const last = logits.subarray(-model.vocabularySize);
    const best = last.reduce((top, x, id) => (x > last[top] ? id : top), 0);
    if (best === 2) break; // the end of the text, in all of these models
    ids.push(best);
  }
  return ids.slice(given.length);
}

const decoded = (model: Model, prompt: string, ids: number[]): string => prompt + Buffer.concat(ids.map((id) => model.tokenizer.bytes(id))).toString();

/** Halves what the last key but one gets, whatever the form: of a pattern [heads, query, key] of each text. */
const halved = (heads: number) => (rows: Float32Array, { lengths, past }: EditPlace): void => {
  let at = 0;
  lengths.forEach((length, b) => {
    const S = past[b] + length;
    for (let h = 0; h < heads; h++) for (let t = 0; t < length; t++, at += S) if (past[b] + t > 0) rows[at + past[b] + t - 1] *= 0.5;
  });
};

test("generation with a write is, token by token, what full runs with that write give: in a ragged batch, and alone", async () => {
  for (const name of ["llama", "mistral_window", "gemma2", "gpt2", "neox"]) {
    await opened(name, async (model) => {
      const width = (hook: string): number => model.hooks().find((row) => row.name === hook)!.width;
      const heads = width("layers.1.attn.pattern");
      const pattern = "layers.1.attn.pattern";
      const all: Write[][] = [
        [{ hook: pattern, heads: 1, ablate: "zero" }], [{ hook: pattern, keys: 0, scale: 0.2 }], [{ hook: pattern, at: "generated", keys: { to: -1 }, ablate: "zero" }],
        [{ hook: pattern, edit: halved(heads) }, { hook: "layers.0.attn.pattern", heads: 0, set: 0.1 }],
        [{ hook: "layers.0", at: "generated", add: noise(model.width) }], [{ hook: "layers.0.mlp", at: -1, scale: -1 }, { hook: "layers.1.attn.v", at: "prompt", set: 0.3 }],
        [{ hook: "layers.0", ablate: "resample", of: noise(5 * model.width, 3), at: { from: 2 } }], [{ hook: "layers.1.attn.z", heads: [0], edit: (rows) => rows.map((x) => Math.tanh(x)) }],
        ...(name === "gpt2" ? [] : [[{ hook: "layers.1.attn.rot_k", at: { from: 3 }, add: noise(width("layers.1.attn.k"), 5) } satisfies Write]]),
      ];
      // one family has all of them, the others two each, in turn
      const some = name === "llama" ? all : all.filter((_, i) => i < 4 && i % 2 === name.length % 2);
      const plain = (await model.generate(PROMPTS, { maxTokens: 8 })).map(({ text }) => text);
      for (const writes of some) {
        const what = `${name}: ${JSON.stringify(writes.map(({ hook, ...rest }) => [hook, Object.keys(rest)]))}`;
        const draws = writes.some((write) => "ablate" in write && write.ablate === "resample"); // by the number of the text: it is alone in a run
        const expected: string[] = [];
        for (const prompt of draws ? PROMPTS.slice(0, 1) : PROMPTS) expected.push(decoded(model, prompt, await byRuns(model, prompt, 8, writes)));
        const together = (await model.generate(PROMPTS, { maxTokens: 8, writes })).map(({ text }) => text);
        assert.deepEqual(together.slice(0, expected.length), expected, what);
        for (const [k, text] of expected.entries()) assert.equal((await model.generate([PROMPTS[k]], { maxTokens: 8, writes }))[0].text, text, `${what}, alone`);
        assert.notDeepEqual(together, plain, `${what}: the write changes something`);
      }
    });
  }
});

test("texts that change their rotation on the way are written as full runs have it", async () => {
  await opened("phi3_longrope", async (model) => {
    const { prompts } = golden("phi3_longrope");
    const texts = prompts.map(({ text }) => text);
    for (const writes of [[{ hook: "layers.0", at: "generated", add: noise(32) }], [{ hook: "layers.1.attn.pattern", keys: 0, scale: 0.5 }]] as Write[][]) {
      const expected = await Promise.all(texts.map(async (text) => decoded(model, text, await byRuns(model, text, 16, writes))));
      const found = await model.generate(texts, { maxTokens: 16, writes, hooks: ["layers.0"] });
      assert.deepEqual(found.map(({ text }) => text), expected);
      for (const [k, { rows }] of found.entries()) {
        const { length } = model.tokenizer.encode(texts[k]).ids;
        assert.equal(rows!["layers.0"].length, (length + 16 - 1) * 32);
      }
    }
  });
});

test("rows read while generating are those of a full run over the tokens but the last", async () => {
  await opened("llama", async (model) => {
    for (const writes of [[], [{ hook: "layers.1", add: noise(48) }], [{ hook: "layers.1.attn.pattern", heads: 2, scale: 3 }, { hook: "layers.0.mlp", edit: (rows) => rows.map((x) => -x) }]] as Write[][]) {
      const hooks = ["layers.1", "blocks.1.attn.hook_q", "layers.2.mlp", "logits"];
      const found = await model.generate(PROMPTS, { maxTokens: 6, hooks, writes });
      for (const [k, prompt] of PROMPTS.entries()) {
        const ids = [...model.tokenizer.encode(prompt).ids, ...(await byRuns(model, prompt, 6, writes))];
        assert.equal(found[k].text, decoded(model, "", ids));
        const wanted = await model.run([ids.slice(0, -1)], { hooks, writes });
        assert.deepEqual(Object.keys(found[k].rows!), hooks);
        for (const hook of hooks) close(found[k].rows![hook], wanted[hook], `${hook}, prompt ${k}`);
      }
    }
    assert.equal("rows" in (await model.generate(["a"], { maxTokens: 1 }))[0], false, "none asked for");
  });
});

test("an edit while generating is told pasts and lengths, the prompts first, then one token each", async () => {
  await opened("llama", async (model) => {
    const places: EditPlace[] = [];
    await model.generate([PROMPTS[0], PROMPTS[1]], { maxTokens: 4, writes: [{ hook: "layers.1", edit: (rows, place) => {
      assert.equal(rows.length, 48 * place.lengths.reduce((a, b) => a + b));
      places.push(place);
    } }] });
    const [long, short] = [PROMPTS[0], PROMPTS[1]].map((text) => model.tokenizer.encode(text).ids.length);
    assert.deepEqual(places.map(({ texts, lengths, past }) => [texts, lengths, past]), [
      [[1, 0], [short, long], [0, 0]], ...[0, 1, 2].map((i) => [[1, 0], [1, 1], [short + i, long + i]]),
    ]);
    // a text that is finished has no rows any more
    const lengths: number[][] = [];
    const writes: Write[] = [{ hook: "layers.1.attn.pattern", heads: 1, scale: 0.5 }, { hook: "layers.1", edit: (rows, place) => {
      assert.equal(rows.length, 48 * place.lengths.reduce((a, b) => a + b));
      lengths.push(place.lengths);
    } }];
    const [{ text, prompt }] = await model.generate([PROMPTS[0]], { maxTokens: 2, writes: writes.slice(0, 1) });
    const options = { maxTokens: 5, stop: [text.slice(prompt).slice(-1)], hooks: ["layers.2"] };
    const together = await model.generate([PROMPTS[0], PROMPTS[1]], { ...options, writes });
    assert.ok(lengths.slice(1).some((now) => now[1] === 0) && lengths.slice(1).every((now) => now[0] === 1), JSON.stringify(lengths));
    for (const [k, one] of PROMPTS.slice(0, 2).entries()) {
      const [alone] = await model.generate([one], { ...options, writes: writes.slice(0, 1) });
      assert.equal(together[k].text, alone.text);
      close(together[k].rows!["layers.2"], alone.rows!["layers.2"], `rows of text ${k}`);
    }
  });
});

test("a text that is at the context's end does not hold up the others", async () => {
  for (const name of ["gpt2", "llama"]) {
    await opened(name, async (model) => {
      let text = "a ".repeat(300);
      while (model.tokenizer.encode(text).ids.length > model.context! - 2) text = text.slice(0, -2);
      const writes: Write[] = [{ hook: "layers.1.attn.pattern", heads: 0, scale: 0.5 }];
      for (const options of [{ maxTokens: 10 }, { maxTokens: 10, writes }]) {
        const [a, b] = await model.generate([text, PROMPTS[1]], options);
        assert.equal(b.text, (await model.generate([PROMPTS[1]], options))[0].text, name);
        assert.equal(a.text, (await model.generate([text], options))[0].text, name);
        assert.ok(a.text.length > text.length && b.text.length > PROMPTS[1].length);
      }
    });
  }
});

async function pieces(generation: AsyncIterable<Piece>): Promise<Piece[]> {
  const all: Piece[] = [];
  for await (const piece of generation) all.push(piece);
  return all;
}

test("a stream gives the pieces of the texts that awaiting gives; both may be had of one generation", async () => {
  await opened("qwen2", async (model) => {
    for (const options of [{ maxTokens: 12 }, { maxTokens: 12, temperature: 1, seed: 5 }, { maxTokens: 12, stop: ["e", "zz"] }] as GenerateOptions[]) {
      const documents = await model.generate(PROMPTS, options);
      const generation = model.generate(PROMPTS, options);
      const streamed = await pieces(generation);
      documents.forEach(({ text, prompt }, k) => assert.equal(streamed.filter((piece) => piece.prompt === k).map((piece) => piece.text).join(""), text.slice(prompt), JSON.stringify(options)));
      assert.deepEqual(await generation, documents);
      assert.ok(streamed.every(({ text }) => text.length > 0));
    }
    await assert.rejects(pieces(model.generate(PROMPTS, { maxTokens: 0 })), OptionError);
    let passes = 0;
    const failing = model.generate(PROMPTS, { maxTokens: 12, writes: [{ hook: "layers.0", edit: () => {
      if (++passes === 4) throw new RangeError("mine");
    } }] });
    await assert.rejects(pieces(failing), (error: Error) => error instanceof RangeError && error.message === "mine");
    await assert.rejects(async () => failing, RangeError);
  });
});

test("leaving a stream ends the work: of this batch, and of those that have not begun", async () => {
  await opened("llama", async (model) => {
    let passes = 0;
    const prompts = Array.from({ length: 40 }, (_, i) => `${i} is a number`); // three batches
    const generation = model.generate(prompts, { maxTokens: 100, writes: [{ hook: "layers.0", edit: () => void passes++ }] });
    let seen = 0;
    for await (const piece of generation) {
      assert.ok(piece.text);
      if (++seen === 3) break;
    }
    const documents = await generation; // what there is by then
    assert.equal(documents.length, 40);
    assert.ok(passes <= 2, `${passes} passes: the first, and one that was under way`);
    const reached = passes;
    await model.run([[1, 2, 3]], { logits: true });
    assert.equal(passes, reached);
  });
});

test("a stop text ends a text before it, over the bounds of tokens, and is never given out", async () => {
  await opened("llama", async (model) => {
    const [{ text, prompt }] = await model.generate([PROMPTS[0]], { maxTokens: 20 });
    const written = text.slice(prompt);
    const stop = written.slice(5, 9);
    assert.ok(written.indexOf(stop) > 0);
    const expected = written.slice(0, written.indexOf(stop));
    for (const options of [{ stop: [stop] }, { stop: ["never to be found, for it is long", stop] }, { stop: [stop + written.slice(9, 11), stop] }]) {
      const [alone] = await model.generate([PROMPTS[0]], { maxTokens: 20, ...options });
      assert.equal(alone.text.slice(prompt), expected);
      const streamed = await pieces(model.generate(PROMPTS, { maxTokens: 20, ...options }));
      assert.equal(streamed.filter((piece) => piece.prompt === 0).map((piece) => piece.text).join(""), expected, "in company, as a stream");
    }
    // the earlier of two counts
    const [both] = await model.generate([PROMPTS[0]], { maxTokens: 20, stop: [written.slice(8, 9), written.slice(3, 4)] });
    assert.equal(both.text.slice(prompt), written.slice(0, Math.min(written.indexOf(written[8]), written.indexOf(written[3]))));
  });
});

test("a piece has whole characters, also where a stop text holds some back", async () => {
  await opened("llama", async (model) => {
    const { tokenizer } = model;
    const byte = (value: number): number => Array.from({ length: tokenizer.vocabularySize }, (_, id) => id).find((id) => !tokenizer.isSpecial(id) && String(tokenizer.bytes(id)) === String([value]))!;
    const said = [..."a😀b😀", ""].flatMap((character) => [...Buffer.from(character)]).map(byte);
    const prompt = [1, 2, 3];
    /** What is written, whatever the model would. */
    const dictate: Write = { hook: "logits", edit: (rows, { past, lengths }) => {
      const width = rows.length / lengths[0];
      rows.fill(0);
      rows[(lengths[0] - 1) * width + said[past[0] + lengths[0] - prompt.length]] = 1;
    } };
    for (const stop of [[], ["x"], ["xy"], ["xyz"]]) {
      const found = await pieces(model.generate([prompt], { maxTokens: said.length, writes: [dictate], stop }));
      assert.equal(found.map(({ text }) => text).join(""), "a😀b😀");
      for (const { text } of found) assert.ok(text.isWellFormed(), JSON.stringify(found));
    }
  });
});

test("topK and topP: only the most likely are drawn, by seed, whatever the company; one alone is greedy", async () => {
  await opened("llama", async (model) => {
    const text = async (options: GenerateOptions, prompts = [PROMPTS[1]]): Promise<string> => (await model.generate(prompts, { maxTokens: 10, temperature: 1.5, ...options }))[0].text;
    const greedy = await text({ temperature: 0 });
    assert.equal(await text({ topK: 1, seed: 8 }), greedy);
    assert.equal(await text({ topP: 1e-9, seed: 8 }), greedy);
    for (const options of [{ topK: 5, seed: 2 }, { topP: 0.6, seed: 2 }, { topK: 50, topP: 0.8, seed: 2 }] as GenerateOptions[]) {
      const found = await text(options);
      assert.equal(await text(options), found);
      assert.equal(await text(options, [PROMPTS[1], PROMPTS[0], PROMPTS[2]]), found, "in company");
      assert.notEqual(await text({ ...options, seed: 3 }), found);
      assert.notEqual(found, await text({ seed: 2 }), "as without a limit");
    }
    // each first token is among those allowed, by the logits of a run: of equal rank or cumulated probability
    const { logits } = await model.run([model.tokenizer.encode(PROMPTS[1]).ids], { logits: true });
    const last = Float64Array.from(logits.subarray(-320), (x) => x / 1.5);
    const order = [...last.keys()].sort((x, y) => last[y] - last[x]);
    const sum = last.reduce((total, x) => total + Math.exp(x), 0);
    const before = order.map((_, r) => order.slice(0, r).reduce((total, id) => total + Math.exp(last[id]), 0) / sum);
    for (const { topK = 0, topP = 1 } of [{ topK: 4 }, { topP: 0.5 }] as GenerateOptions[]) {
      const drawn = new Set<number>();
      for (let seed = 0; seed < 40; seed++) for (const { token } of await pieces(model.generate([PROMPTS[1]], { maxTokens: 1, temperature: 1.5, topK, topP, seed }))) drawn.add(token);
      const allowed = order.filter((_, r) => (topK ? r < topK : before[r] < topP));
      assert.ok(allowed.length > 2 && allowed.length < 30 && drawn.size > 2, `${allowed.length}, ${drawn.size}`);
      for (const token of drawn) assert.ok(allowed.includes(token), `${token} of ${allowed}`);
    }
  });
});

test("several generations and runs at once, with their own writes and caches", async () => {
  await opened("llama", async (model) => {
    const writes: Write[][] = [[], [{ hook: "layers.1", add: noise(48) }], [{ hook: "layers.0.attn.pattern", heads: 1, scale: 0 }], [{ hook: "layers.1.mlp", edit: async (rows) => rows.map((x) => 2 * x) }]];
    const single: string[] = [];
    for (const one of writes) single.push(...(await model.generate(PROMPTS, { maxTokens: 10, writes: one })).map(({ text }) => text));
    const plain = await model.run([[5, 6, 7]], { logits: true });
    const [together, ...runs] = await Promise.all([
      Promise.all(writes.map((one) => model.generate(PROMPTS, { maxTokens: 10, writes: one }))), ...Array.from({ length: 8 }, () => model.run([[5, 6, 7]], { logits: true })),
    ]);
    assert.deepEqual(together.flat().map(({ text }) => text), single);
    for (const run of runs) assert.deepEqual(run, plain);
    assert.equal(new Set(single).size, single.length);
  });
});

test("draws for resampling are the same whatever the company", async () => {
  await opened("llama", async (model) => {
    const writes: Write[] = [{ hook: "layers.1", ablate: "resample", of: noise(9 * 48), seed: 4 }];
    const text = async (prompts: string[], k: number): Promise<string> => (await model.generate(prompts, { maxTokens: 8, writes }))[k].text;
    const second = await text([PROMPTS[0], PROMPTS[1]], 1); // shorter than the first: it comes first in the batch
    assert.equal(await text(["a", PROMPTS[1]], 1), second);
    assert.equal(await text([PROMPTS[2], PROMPTS[1], PROMPTS[0]], 1), second);
    assert.notEqual(await text([PROMPTS[1]], 0), second, "another place among the texts, other draws");
  });
});

test("options of generate that cannot be are refused", async () => {
  await opened("llama", async (model) => {
    const cases: [Record<string, unknown>, RegExp, (typeof HookError | typeof OptionError)?][] = [
      [{ temperature: -1 }, /temperature: expected a number from 0 \(greedy\), found -1/], [{ temperature: NaN }, /temperature: .*found NaN/], [{ topK: -1 }, /topK: expected a whole number from 0 \(all\), found -1/],
      [{ topK: 1.5 }, /topK: .*found 1\.5/], [{ topP: 0 }, /topP: expected a number above 0, up to 1 \(all\), found 0/], [{ topP: 1.1 }, /topP: .*found 1\.1/],
      [{ maxTokens: 0 }, /maxTokens: expected a whole number from 1, found 0/], [{ maxTokens: 2.5 }, /maxTokens: .*found 2\.5/], [{ seed: 0.5 }, /seed: expected a whole number, found 0\.5/],
      [{ stop: [""] }, /stop: expected texts that are not empty, found \[""\]/], [{ stop: "x" }, /stop: expected texts that are not empty, found "x"/], [{ stop: [3] }, /stop: .*found \[3\]/],
      [{ hooks: ["layers.0.attn.pattern"] }, /"layers\.0\.attn\.pattern": expected a place with one row a token, found a pattern, .*Read it with run/, HookError],
      [{ hooks: ["layers.9"] }, /"layers\.9": expected a block of this model/, HookError], [{ writes: [{ hook: "layer.0", scale: 1 }] }, /"layer\.0": expected a hook such as/, HookError],
      [{ writes: [{ hook: "layers.0", set: noise(96) }] }, /write to "layers\.0": expected one row of 48 while texts are written, found 2 rows\. Rows of all tokens are for run/],
    ];
    for (const [options, message, type = OptionError] of cases) {
      await assert.rejects(async () => model.generate(["ab"], options), (error: Error) => {
        assert.ok(error instanceof type && message.test(error.message), `${error.name}: ${error.message}`);
        return true;
      });
    }
    await assert.rejects(async () => model.generate([PROMPTS[0], ""]), /generate: prompt 1: expected at least one token, found none/);
    await assert.rejects(async () => model.generate(["a ".repeat(300)]), /generate: prompt 0: expected fewer than 256 tokens, found \d+/);
  });
});
