import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseCard, othersOn, sameName, type Card } from "../../src/core/cards";

const GB = 1e9;
const card = (index: number, free: number | undefined, processes: Card["processes"] = []): Card =>
  ({ index, name: `NVIDIA GeForce RTX ${4070 + 10 * index}`, uuid: `GPU-${index}aaaaaaa-bbbb`, memory: 24 * GB, ...(free === undefined ? {} : { free }), processes });
const two = [card(0, 3 * GB), card(1, 20 * GB)];

test("of several cards the one with the most free memory is meant, by its UUID: CUDA counts them by speed", () => {
  const { visible, why, card: chosen } = chooseCard({ there: true, cards: two }, {});
  assert.equal(visible, "GPU-1aaaaaaa-bbbb");
  assert.equal(chosen?.index, 1);
  assert.match(why, /card 1 of 2, the one with the most free memory \(0: .*4070, 3\.0 GB free; 1: .*4080, 20\.0 GB free\)/);
  assert.equal(chooseCard({ there: true, cards: [card(0, 5 * GB), card(1, 5 * GB)] }, {}).card?.index, 0);
});

test("one card, none, no driver, or cards whose memory nobody tells", () => {
  assert.deepEqual(chooseCard({ there: true, cards: [two[0]] }, {}), { why: "it is the only card", card: two[0] });
  assert.deepEqual(chooseCard({ there: true, cards: [] }, {}), { why: "there is no card", card: undefined });
  assert.deepEqual(chooseCard({ there: false, why: "no NVIDIA driver" }, {}), { why: "no NVIDIA driver" });
  const unknown = [0, 1].map((index) => ({ ...card(index, undefined), uuid: undefined }));
  const { visible, why } = chooseCard({ there: true, cards: unknown }, {});
  assert.equal(visible, "0");
  assert.match(why, /the first, as nobody tells/);
});

test("one card that can be used among others: the library sees it alone, as it would take the others too", () => {
  const { visible, why, card: chosen } = chooseCard({ there: true, cards: [two[1]] }, {}, 2);
  assert.deepEqual([visible, chosen?.index], ["GPU-1aaaaaaa-bbbb", 1]);
  assert.match(why, /card 1 of 2, the only one that can be used/);
  assert.equal(chooseCard({ there: true, cards: [two[1]] }, { CUDA_VISIBLE_DEVICES: "0" }, 2).visible, undefined);
});

test("CUDA_VISIBLE_DEVICES is left as it is; the card is the first that it names", () => {
  const named = (list: string) => chooseCard({ there: true, cards: two }, { CUDA_VISIBLE_DEVICES: list });
  for (const [list, index] of [["0", 0], ["1,0", 1], ["GPU-1aaa", 1], ["-1", undefined], ["", undefined], ["7,0", undefined], ["MIG-GPU-x", undefined]] as const) {
    assert.equal(named(list).card?.index, index, list);
    assert.equal(named(list).visible, undefined);
    assert.match(named(list).why, /CUDA_VISIBLE_DEVICES is "/);
  }
});

test("other processes on a card, largest first, this one left out", () => {
  const busy = card(0, GB, [{ pid: 7, name: "saelab", memory: 2e9 }, { pid: 12, name: "Xorg", memory: 300e6 }, { pid: 99, name: "python3", memory: 20.5e9 }, { pid: 100, name: "wsl" }]);
  assert.equal(othersOn(busy, 7), "python3 (pid 99, 20,500 MB), Xorg (pid 12, 300 MB), wsl (pid 100)");
  assert.equal(othersOn(card(0, GB, [{ pid: 7, name: "saelab" }]), 7), undefined);
});

test("one card by both of its names: nvidia-smi's, and WebGPU's with the driver behind it", () => {
  assert.ok(sameName("NVIDIA GeForce RTX 4090", "nvidia-geforce-rtx-4090 (NVIDIA: 580.65.06)"));
  assert.ok(!sameName("NVIDIA A2", "nvidia-geforce-rtx-4090 (NVIDIA: 580.65.06)"));
});
