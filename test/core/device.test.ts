import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseDevice, DEVICES, type Availability, type Device, type Found } from "../../src/core/device";
import { EngineError, OptionError } from "../../src/core/errors";

const absent = (device: string): Availability => ({ there: false, why: `no ${device}`, cure: `npx saelab setup --${device}` });
const found = (there: Partial<Record<Device, Partial<Availability & { there: true }>>>): Found =>
  Object.fromEntries(DEVICES.map((device) => [device, there[device] ? { there: true, name: `a ${device}`, ...there[device] } : absent(device)])) as Found;

test("auto takes the best that there is, and says of each better one why it is not that, with the cure", () => {
  const all = found({ cuda: {}, webgpu: {}, cpu: {}, wasm: {} });
  assert.deepEqual(chooseDevice("training", all, "auto"), { device: "cuda", name: "a cuda", instead: [] });
  assert.equal(chooseDevice("training", all).device, "cuda");
  const { device, instead } = chooseDevice("harvest", found({ cpu: {}, wasm: {} }), "auto");
  assert.equal(device, "cpu");
  assert.deepEqual(instead, [
    { device: "cuda", why: "no cuda", cure: "npx saelab setup --cuda" }, { device: "webgpu", why: "no webgpu", cure: "npx saelab setup --webgpu" },
  ]);
  assert.equal(chooseDevice("training", found({ wasm: {} }), "auto").instead.length, 3);
});

test("an adapter in software is taken only by name, and passing it over is said", () => {
  const software = found({ webgpu: { software: true, name: "SwiftShader" }, cpu: {} });
  const auto = chooseDevice("training", software, "auto");
  assert.equal(auto.device, "cpu");
  assert.match(auto.instead[1].why, /^SwiftShader is no graphics card/);
  assert.deepEqual(chooseDevice("training", software, "webgpu"), { device: "webgpu", name: "SwiftShader", instead: [{ device: "cuda", why: "no cuda", cure: "npx saelab setup --cuda" }] });
});

test("a device by name: what is better and was not asked for is told; a note goes along", () => {
  const chosen = chooseDevice("training", found({ cuda: {}, cpu: { note: "no AVX2" } }), "cpu");
  assert.deepEqual(chosen, { device: "cpu", name: "a cpu", note: "no AVX2", instead: [
    { device: "cuda", why: 'device: "cpu" was asked for' }, { device: "webgpu", why: "no webgpu", cure: "npx saelab setup --webgpu" },
  ] });
});

test("a device that is not there is refused with reason, cure and what there is; never another one in its place", () => {
  assert.throws(() => chooseDevice("training", found({ cpu: {}, webgpu: { software: true } }), "cuda"), (error: Error) => {
    assert.ok(error instanceof OptionError);
    assert.equal(error.message,
      'device: expected "cuda" for the training, found that it is not there: no cuda. Run npx saelab setup --cuda. Here there is "cpu"; "auto" takes the best that there is.');
    return true;
  });
  assert.throws(() => chooseDevice("training", found({ cpu: {} }), "gpu" as never), /expected "auto", "cuda", "webgpu", "cpu", "wasm", found "gpu"/);
  assert.throws(() => chooseDevice("harvest", found({}), "auto"), (error: Error) => error instanceof EngineError && /cuda: no cuda \(npx saelab setup --cuda\); webgpu/.test(error.message));
});
