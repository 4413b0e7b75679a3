import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { differsFromReference } from "../../src/adapters/cardcheck";
import { deferredStep } from "../../src/adapters/deferredstep";
import { stockStep } from "../../src/adapters/step";
import { DT, tensorflow, type Engine, type Id } from "../../src/adapters/tensorflow";
import { EngineError } from "../../src/core/errors";
import { referenceGradients, referenceUpdate } from "../../src/core/referencestep";
import { bytesSource, readFloats, readHeader, readInts } from "../../src/core/safetensors";
import { freshState, type Parameters } from "../../src/core/trained";
import { stateOf } from "./kindsteps";
import { close, names } from "./torchsteps";

/** The plain loops that a card is held against, and that a card which is wrong is found out. */

const engine = tensorflow();

test("the plain loops agree with PyTorch's autograd, and an update by them with its Adam", () => {
  const golden = bytesSource(readFileSync(join(__dirname, "../../../test/oracle/step/golden.safetensors")));
  const { tensors } = readHeader(golden, "golden.safetensors");
  const floats = (name: string): Float32Array => readFloats(golden, tensors.get(name)!);
  const [, rows, d] = tensors.get("x")!.shape, latents = tensors.get("start.bEnc")!.shape[0];
  for (const kind of ["none", "few", "many"]) {
    const start = Object.fromEntries(names.map((name) => [name, floats(`start.${name}`)])) as unknown as Parameters;
    const initial = { ...freshState(d, latents, 4, start), parameters: start }, x = floats("x").slice(0, rows * d), losses = floats(`${kind}.losses`);
    const { fvu, aux, gradient } = referenceGradients(initial, x, readInts(golden, tensors.get(`${kind}.dead`)!));
    assert.ok(Math.abs(fvu - losses[0]) < 1e-6 * losses[0] && Math.abs(aux - losses[1]) <= 1e-6 * losses[1], kind);
    for (const name of names) close(gradient[name], floats(`${kind}.gradient.${name}`), 1e-6, `${kind}: ${name}`);
    const step = stockStep(engine, initial);
    step.update(x, { learningRate: 0.003, dead: readInts(golden, tensors.get(`${kind}.dead`)!) });
    const moved = referenceUpdate(initial, gradient, 0.003), { wDec, wEnc } = step.state().parameters;
    const far = (a: Float32Array, b: Float32Array): number => a.reduce((count, value, i) => (Math.abs(value - b[i]) > 1e-5 ? count + 1 : count), 0);
    assert.ok(far(moved.wDec, wDec) <= 2 && far(moved.wEnc, wEnc) <= 2, kind); // Adam's first step is the gradient's sign, also of one near 0
    step.dispose();
  }
  assert.throws(() => referenceGradients(stateOf("jumprelu", "sae", 1), new Float32Array(24)), /found jumprelu/);
  assert.throws(() => referenceGradients(stateOf("topk", "skip", 1), new Float32Array(24)), /a transcoder/);
});

const checked = (e: Engine): string | undefined => differsFromReference((initial, choice) => deferredStep(e, initial, choice));

test("the deferred step computes what plain loops compute, and holds no tensor back", () => {
  const before = engine.live();
  assert.equal(checked(engine), undefined);
  assert.equal(engine.live(), before);
});

/** A card of which one kernel gives something slightly else. */
const wrong = (kernel: string, spoil: (outputs: Id[], inputs: Id[]) => Id[]): Engine => ({
  ...engine, device: "cuda",
  run(name, attributes, inputs, outputs) {
    const made = engine.run(name, attributes, inputs, outputs);
    return name === kernel ? spoil(made, inputs) : made;
  },
});
const scaled = (id: Id, by: number): Id => engine.run("Mul", { T: { type: DT.f32 } }, [id, engine.tensor(Float32Array.of(by), [])])[0];

test("a card of which a kernel is wrong by little is found out, and nothing is trained on it", () => {
  const found = {
    SparseMatrixMatMul: checked(wrong("SparseMatrixMatMul", ([out]) => [scaled(out, 1.001)])),
    BatchMatMulV2: checked(wrong("BatchMatMulV2", ([out]) => [scaled(out, 1.0001)])), // as TF32 would be
    TopKV2: checked(wrong("TopKV2", ([value, index]) => [value, engine.run("Minimum", { T: { type: DT.i32 } }, [index, engine.tensor(Int32Array.of(900), [])])[0]])),
    TensorScatterAdd: checked(wrong("TensorScatterAdd", (_, [x]) => [scaled(x, 1)])),
    Rsqrt: checked(wrong("Rsqrt", ([out]) => [scaled(out, 1.0001)])),
  };
  assert.match(found.SparseMatrixMatMul!, /gradient/);
  assert.match(found.BatchMatMulV2!, /loss|gradient/);
  assert.match(found.TopKV2!, /chosen latents/);
  assert.match(found.TensorScatterAdd!, /gradient of wEnc \(topk, 40 dead latents\)/);
  assert.match(found.Rsqrt!, /wDec after an update/);
  assert.throws(
    () => stockStep(wrong("SparseMatrixMatMul", ([out]) => [scaled(out, 1.001)]), stateOf("topk", "sae", 1)),
    (error: Error) => error instanceof EngineError && /expected the card to compute what the processor computes, found a difference in the gradient .*SAELAB_ENGINE=cpu/.test(error.message));
});
