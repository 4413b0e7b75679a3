import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { onCard } from "../adapters/devicechild";
import { ORACLE } from "../adapters/tiny";

test("on WebGPU every tiny model's hooks, logits, texts and steering are PyTorch's, and edits, SAEs and harvests the CPU's", async () => {
  const models = readdirSync(join(ORACLE, "models")).sort();
  const tasks = [...models.map((name) => `parity:${name}`), ...["gpt2", "gemma3", "llama", "neox"].map((name) => `cpu:${name}`)];
  const lines = await onCard(tasks);
  assert.deepEqual(lines.map((line) => line.split(" ").slice(0, 2).join(" ")), tasks.map((task) => `${task} ok`));
});
