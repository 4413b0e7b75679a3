import { test } from "node:test";
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { basename, join } from "node:path";
import { Worker } from "node:worker_threads";
import { EngineError, InterruptError, OptionError } from "../../src/core/errors";
import type { Model, Write } from "../../src/core/types";
import { copyModel, opened, scratch } from "./tiny";

/** The notebook stays live: interrupts stop within a pass, and an error says where it came from. */

const KEY = Symbol.for("saelab.interrupt");
const globals = globalThis as Record<symbol, { requested: boolean } | undefined>;

async function interruptible(work: (interrupt: () => void) => Promise<void>): Promise<void> {
  const before = globals[KEY];
  globals[KEY] = { requested: false };
  try {
    await work(() => (globals[KEY] = { requested: true }));
  } finally {
    globals[KEY] = before;
  }
}

/** A run of a second or so, in passes of two texts. */
const LONG = Array.from({ length: 48 }, () => new Int32Array(256).fill(9));

test("an interrupt ends a run while the worker still computes, and the model is as good as before", async () => {
  await opened("llama", async (model) => {
    const wanted = await model.run([[5, 6, 7]], { logits: true });
    const events: string[] = [];
    const { emit } = Worker.prototype;
    // what the worker sends, as the main thread sees it
    Worker.prototype.emit = function (this: Worker, event: string | symbol, ...given: any[]): boolean {
      if (event === "message" && given[0]?.outputs) events.push("answer");
      return emit.call(this, event, ...given);
    };
    try {
      await interruptible(async (interrupt) => {
        const running = model.run(LONG, { hooks: ["logits"] }).then(() => events.push("run"), (error: Error) => {
          events.push(error.name);
          assert.match(error.message, /Interrupted within a pass of the model/);
        });
        setImmediate(interrupt);
        await running;
      });
      const before = events.length - 1;
      assert.equal(events[before], "InterruptError");
      assert.ok(before < 12, `the rejection does not wait for the ${LONG.length / 2} parts of the run: ${before} were answered`);
      assert.deepEqual(await model.run([[5, 6, 7]], { logits: true }), wanted);
      assert.ok(events.length - 1 - before <= 3, "what was with the worker came after all, to nobody, and no more was asked of it");
    } finally {
      Worker.prototype.emit = emit;
    }
  });
});

test("an interrupt ends a run between an edit and what follows, and a generation whose edit asked for it", async () => {
  await opened("llama", async (model) => {
    for (const ask of [(writes: Write[]) => model.run([[1, 2, 3]], { logits: true, writes }), (writes: Write[]) => model.generate(["ab"], { maxTokens: 50, writes })]) {
      await interruptible(async (interrupt) => {
        const steps: string[] = [];
        const writes: Write[] = [
          { hook: "layers.0", edit: () => {
            steps.push("first");
            interrupt();
          } },
          { hook: "layers.1", edit: () => void steps.push("second") },
        ];
        await assert.rejects(async () => ask(writes), InterruptError);
        assert.deepEqual(steps, ["first"]);
      });
    }
    assert.equal((await model.generate(["ab"], { maxTokens: 2 })).length, 1);
  });
});

test("an interrupt ends a stream", async () => {
  await opened("llama", async (model) => {
    await interruptible(async (interrupt) => {
      let pieces = 0;
      await assert.rejects(async () => {
        for await (const { text } of model.generate(["ab"], { maxTokens: 200 })) if (text && ++pieces === 3) interrupt();
      }, InterruptError);
      assert.ok(pieces >= 3 && pieces < 10, String(pieces));
    });
  });
});

test("timers run while the model computes", async () => {
  await opened("llama", async (model) => {
    const order: string[] = [];
    const timer = setTimeout(() => order.push("timer"), 1);
    await model.run(LONG.slice(0, 12), { hooks: ["layers.2"] });
    order.push("run");
    clearTimeout(timer);
    assert.deepEqual(order, ["timer", "run"]);
  });
});

test("what an edit throws arrives as it is: the same object, with its stack", async () => {
  await opened("llama", async (model) => {
    const mine = new RangeError("mine");
    const { stack } = mine;
    assert.match(stack!, /live\.test/);
    for (const thrown of [mine, new OptionError("mine too"), "a string", undefined]) {
      const edits: Write[] = [
        { hook: "layers.1", edit: () => {
          throw thrown;
        } },
        { hook: "layers.1", edit: async () => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          throw thrown;
        } },
      ];
      for (const write of edits) {
        const asked = [() => model.run([[1, 2]], { logits: true, writes: [write] }), () => model.generate(["ab"], { writes: [write] }), async () => {
          for await (const piece of model.generate(["ab"], { writes: [write] })) assert.fail(piece.text);
        }];
        for (const ask of asked) {
          const caught = await (async () => ask())().then(() => assert.fail("no error"), (error: unknown) => error);
          assert.equal(caught, thrown);
        }
      }
    }
    assert.equal(mine.stack, stack);
    assert.equal((await model.run([[1, 2]], { hooks: ["layers.1"] }))["layers.1"].length, 96);
  });
});

async function failing(ask: (model: Model, spoil: () => void) => Promise<unknown>): Promise<Error> {
  let caught: Error | undefined;
  await scratch(async (folder) => {
    copyModel("llama", join(folder, "m"));
    await opened(join(folder, "m"), async (model) => {
      caught = await ask(model, () => rmSync(join(folder, "m", "model.safetensors"))).then(() => assert.fail("no error"), (error: Error) => error);
    });
  });
  return caught!;
}

test("an error of the worker says where it was asked for: in a run, after an edit, in a generation, in a stream", async () => {
  const askers: Record<string, (model: Model, spoil: () => void) => Promise<unknown>> = {
    async inRun(model, spoil) {
      spoil();
      await model.run([[1, 2]], { hooks: ["layers.0"] });
    },
    async afterEdit(model, spoil) {
      await model.run([[1, 2]], { hooks: ["layers.1"], writes: [{ hook: "layers.0", edit: spoil }] });
    },
    async inUnembed(model, spoil) {
      spoil();
      await model.unembed(new Float32Array(48));
    },
    async inGeneration(model, spoil) {
      spoil();
      await model.generate(["ab"], { maxTokens: 2 });
    },
    async inStream(model, spoil) {
      spoil();
      for await (const { text } of model.generate(["ab"], { maxTokens: 2 })) assert.fail(text);
    },
  };
  for (const [name, ask] of Object.entries(askers)) {
    const error = await failing(ask);
    assert.ok(error instanceof EngineError, `${name}: ${error}`);
    assert.ok(error.stack!.startsWith(`EngineError: ${error.message}`), error.stack);
    assert.ok(error.stack!.includes(basename(__filename)) && error.stack!.includes(`${name} (`), `${name}: ${error.stack}`);
  }
});

test("an option that is refused says where it was given, in a run and in a generation", async () => {
  await opened("llama", async (model) => {
    const inRun = async (): Promise<unknown> => await model.run([[1]], { hooks: [] });
    const inGeneration = async (): Promise<unknown> => await model.generate(["a"], { maxTokens: 0 });
    for (const [name, ask] of Object.entries({ inRun, inGeneration })) {
      const error = await ask().then(() => assert.fail("no error"), (thrown: Error) => thrown);
      assert.ok(error instanceof OptionError && error.stack!.includes(`${name} (`) && error.stack!.includes(basename(__filename)), error.stack);
    }
  });
});
