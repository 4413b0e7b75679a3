import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DT, type Dtype } from "../../src/adapters/dtype";
import { kernelsWith, portableBinding } from "../../src/adapters/portable";
import { plainProduct, wasmProduct, type Matrix } from "../../src/adapters/portableproduct";
import { stockStep } from "../../src/adapters/step";
import { adamNumbers, engineOf, kernels, tensorflow, type Attributes, type Binding, type Engine, type Id } from "../../src/adapters/tensorflow";
import { EngineError, MemoryError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { partsOf } from "../../src/core/trained";
import { KINDS, normals, STRUCTURES, torchKinds } from "./kindsteps";
import { agreesWithTorch, close } from "./torchsteps";

/** Each kernel that stands in for one of TensorFlow's is held against TensorFlow's own. */

const native = tensorflow();
const wasm = engineOf(native.tf, portableBinding("wasm"), "wasm");
const js = engineOf(native.tf, portableBinding("js"), "js");
const rng = random(0);

interface Given { data: number[] | Float32Array; shape: number[]; dtype?: Dtype }
const floats = (...shape: number[]): Given => ({ data: normals(shape.reduce((a, b) => a * b, 1), rng), shape });
const positive = (...shape: number[]): Given => ({ data: (floats(...shape).data as Float32Array).map((x) => Math.abs(x) + 0.1), shape });
const ints = (data: number[], shape = [data.length], dtype: Dtype = DT.i32): Given => ({ data, shape, dtype });
const below = (count: number, ...shape: number[]): Given => ints(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.below(count)), shape);
const bools = (...shape: number[]): Given => ({ data: (floats(...shape).data as Float32Array).map((x) => (x > 0 ? 1 : 0)), shape, dtype: DT.bool });
const f32 = { T: { type: DT.f32 } }, i32 = { T: { type: DT.i32 } };
const numbers = (dtype: Dtype): Attributes => ({ T: { type: dtype }, Tidx: { type: DT.i32 } });
const indexed = { Tparams: { type: DT.f32 }, Tindices: { type: DT.i32 } };
const casts = (from: Dtype, to: Dtype): Attributes => ({ SrcT: { type: from }, DstT: { type: to }, Truncate: false });
const NAN_ROW: Given = { data: [3, NaN, 5, -1, 2, 2, -7, 0], shape: [2, 4] };

/** [kernel, attributes, inputs, how many outputs: one] */
const cases: [string, Attributes, Given[], number?][] = [
  ...["Relu", "Square", "Exp", "Abs", "Neg"].flatMap((name): [string, Attributes, Given[]][] => [[name, f32, [floats(3, 5)]], [name, f32, [floats()]]]),
  ["Relu", f32, [{ data: [-0, NaN, -3, 2], shape: [4] }]],
  ["Neg", i32, [ints([1, -2, 0])]],
  ["Rsqrt", f32, [positive(7)]],
  ...["AddV2", "Sub", "Mul", "RealDiv", "SquaredDifference"].flatMap((name): [string, Attributes, Given[]][] => [
    [name, f32, [floats(3, 4), positive(3, 4)]], [name, f32, [floats(3, 4), positive(4)]], [name, f32, [floats(3, 4), positive(3, 1)]],
    [name, f32, [floats(3, 4), positive()]], [name, f32, [floats(), positive(2)]], [name, f32, [floats(2, 1, 5), positive(3, 1)]], [name, f32, [floats(5, 1, 1), positive(5, 4, 3)]],
  ]),
  ...["AddV2", "Sub", "Mul", "FloorDiv"].map((name): [string, Attributes, Given[]] => [name, i32, [ints([7, -7, 2_000_000_011, 12], [2, 2]), ints([2, 3, 5, -5], [2, 2])]]),
  ["ReluGrad", f32, [floats(3, 4), floats(3, 4)]],
  ...["Greater", "GreaterEqual", "Less"].map((name): [string, Attributes, Given[]] => [name, f32, [{ data: [1, 2, 3, NaN], shape: [4] }, { data: [2], shape: [] }]]),
  ["SelectV2", f32, [bools(3, 4), floats(3, 4), floats()]],
  ["SelectV2", f32, [bools(3, 1), floats(3, 4), floats(4)]],
  ["Cast", casts(DT.f32, DT.i32), [{ data: [1.7, -1.7, 0], shape: [3] }]],
  ["Cast", casts(DT.i32, DT.f32), [ints([5, -3])]],
  ["Reshape", { T: { type: DT.f32 }, Tshape: { type: DT.i32 } }, [floats(3, 4), ints([2, -1])]],
  ["Slice", { T: { type: DT.f32 }, Index: { type: DT.i32 } }, [floats(4, 3, 5), ints([1, 0, 2]), ints([2, 3, 2])]],
  ["Slice", { T: { type: DT.f32 }, Index: { type: DT.i32 } }, [floats(6), ints([2]), ints([-1])]],
  ["ConcatV2", { N: 2, ...numbers(DT.f32) }, [floats(2, 3), floats(2, 4), ints([1], [])]],
  ["ConcatV2", { N: 3, ...numbers(DT.f32) }, [floats(2, 3), floats(1, 3), floats(3, 3), ints([0], [])]],
  ["Pack", { N: 2, T: { type: DT.i32 }, axis: 1 }, [ints([1, 2, 3]), ints([4, 5, 6])]],
  ["Pack", { N: 2, T: { type: DT.f32 }, axis: 0 }, [floats(2, 3), floats(2, 3)]],
  ["Unpack", { num: 3, T: { type: DT.f32 }, axis: 0 }, [floats(3)], 3],
  ["Unpack", { num: 2, T: { type: DT.f32 }, axis: 0 }, [floats(2, 3)], 2],
  ["BroadcastArgs", { T: { type: DT.i64 } }, [ints([4, 1], [2], DT.i64), ints([3], [1], DT.i64)]],
  ["GatherV2", { batch_dims: 0, ...indexed, Taxis: { type: DT.i32 } }, [floats(6, 3), below(6, 2, 4), ints([0], [])]],
  ["GatherV2", { batch_dims: 1, ...indexed, Taxis: { type: DT.i32 } }, [floats(2, 6, 3), below(6, 2, 4), ints([1], [])]],
  ["GatherV2", { batch_dims: 1, ...indexed, Taxis: { type: DT.i32 } }, [floats(2, 6), below(6, 2, 4), ints([1], [])]],
  ["GatherNd", indexed, [floats(4, 5), ints([0, 1, 3, 4, 2, 2], [3, 2])]],
  ["GatherNd", indexed, [floats(4, 5), ints([3, 0], [2, 1])]],
  ["TensorScatterAdd", { T: { type: DT.f32 }, Tindices: { type: DT.i32 } }, [floats(5, 3), ints([4, 0, 4], [3, 1]), floats(3, 3)]],
  ["UnsortedSegmentSum", { T: { type: DT.f32 }, Tindices: { type: DT.i32 }, Tnumsegments: { type: DT.i32 } }, [floats(7), ints([0, 3, 0, -1, 2, 2, 0]), ints([5], [])]],
  ["UnsortedSegmentSum", { T: { type: DT.f32 }, Tindices: { type: DT.i32 }, Tnumsegments: { type: DT.i32 } }, [floats(4, 3), ints([1, 1, 0, 3]), ints([4], [])]],
  ["UnsortedSegmentMax", { T: { type: DT.f32 }, Tindices: { type: DT.i64 }, Tnumsegments: { type: DT.i32 } }, [floats(7), ints([0, 3, 0, -1, 2, 2, 0], [7], DT.i64), ints([5], [])]],
  ["TensorScatterAdd", { T: { type: DT.f32 }, Tindices: { type: DT.i64 } }, [floats(5, 3), ints([4, 0, 4], [3, 1], DT.i64), floats(3, 3)]],
  ...["AddV2", "Sub", "Mul", "FloorDiv"].map((name): [string, Attributes, Given[]] => [name, { T: { type: DT.i64 } }, [ints([7, -7, 12], [3], DT.i64), ints([2, 3, -5], [3], DT.i64)]]),
  ...[[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2], [-1]].flatMap((axes): [string, Attributes, Given[]][] => [false, true].flatMap((keep): [string, Attributes, Given[]][] => [
    ["Sum", { ...numbers(DT.f32), keep_dims: keep }, [floats(3, 4, 5), ints(axes)]], ["Max", { ...numbers(DT.f32), keep_dims: keep }, [floats(3, 4, 5), ints(axes)]],
  ])),
  ["Max", { ...numbers(DT.f32), keep_dims: false }, [NAN_ROW, ints([1], [])]],
  ...[0, 1, 2].map((axis): [string, Attributes, Given[]] => ["ArgMax", { ...numbers(DT.f32), output_type: { type: DT.i32 } }, [{ ...floats(3, 4, 2), data: (below(3, 3, 4, 2).data as number[]) }, ints([axis], [])]]),
  ...[1, 3, 17, 64].map((k): [string, Attributes, Given[], number] => ["TopKV2", { T: { type: DT.f32 }, Tk: { type: DT.i32 }, index_type: { type: DT.i32 }, sorted: true }, [floats(9, 64), ints([k], [])], 2]),
  ...[1, 5, 12, 40].map((k): [string, Attributes, Given[], number] => ["TopKV2", { T: { type: DT.f32 }, Tk: { type: DT.i32 }, index_type: { type: DT.i32 }, sorted: true }, [{ data: below(6, 30, 40).data, shape: [30, 40] }, ints([k], [])], 2]), // ties
  ["TopKV2", { T: { type: DT.i32 }, Tk: { type: DT.i32 }, index_type: { type: DT.i32 }, sorted: true }, [ints([-5, 3, 9, 3], [1, 4]), ints([3], [])], 2],
  ...[true, false].map((reverse): [string, Attributes, Given[]] => ["NthElement", { T: { type: DT.f32 }, reverse }, [floats(4, 9), ints([2], [])]]),
  ["Where", { T: { type: DT.bool } }, [bools(4, 7)]],
  ["Where", { T: { type: DT.bool } }, [{ data: [0, 0], shape: [2], dtype: DT.bool }]],
  ...[[1, 1, 1], [3, 5, 7], [9, 64, 33], [530, 40, 515], [6, 2051, 5], [2, 4100, 3]].flatMap(([n, k, m]) => [false, true].flatMap((a) => [false, true].map((b): [string, Attributes, Given[]] =>
    ["MatMul", { T: { type: DT.f32 }, transpose_a: a, transpose_b: b }, [a ? floats(k, n) : floats(n, k), b ? floats(m, k) : floats(k, m)]]))),
  ["BatchMatMulV2", { T: { type: DT.f32 }, adj_x: false, adj_y: false }, [floats(4, 2, 6), floats(4, 6, 3)]],
  ["BatchMatMulV2", { T: { type: DT.f32 }, adj_x: false, adj_y: true }, [floats(4, 2, 6), floats(4, 3, 6)]],
];

/** A kernel as the engines run it, with what they do not tell: shapes and dtypes. */
function given(binding: Binding, name: string, attributes: Attributes, inputs: Given[], outputs: number): { shape: number[]; dtype: number; values: number[] }[] {
  const type = { number: binding.TF_ATTR_INT, boolean: binding.TF_ATTR_BOOL, string: binding.TF_ATTR_STRING } as const;
  const run = (kernel: string, attributes: Attributes, ids: number[], count: number) => binding.executeOp(kernel, Object.entries(attributes).map(([key, value]) => (
    typeof value === "object" ? { name: key, type: binding.TF_ATTR_TYPE, value: (value as { type: Dtype }).type } : { name: key, type: type[typeof value as "number"], value }
  )), ids, count);
  const made: number[] = [];
  const cast = (id: number, from: Dtype, to: Dtype): number => {
    if (from === to) return id;
    const [{ id: out }] = run("Cast", casts(from, to), [id], 1);
    made.push(out);
    return out;
  };
  const ids = inputs.map(({ data, shape, dtype = DT.f32 }) => {
    const plain = dtype === DT.f32 ? DT.f32 : DT.i32;
    const id = binding.createTensor(shape, plain, plain === DT.f32 ? Float32Array.from(data) : Int32Array.from(data));
    made.push(id);
    return cast(id, plain, dtype);
  });
  const found = run(name, attributes, ids, outputs).map(({ id, shape, dtype }) => {
    made.push(id);
    return { shape, dtype, values: Array.from(binding.tensorDataSync(cast(id, dtype as Dtype, dtype === DT.f32 ? DT.f32 : DT.i32)), (x) => x + 0) }; // no −0
  });
  for (const id of made) binding.deleteTensor(id);
  return found;
}

const bindings = { wasm: portableBinding("wasm"), js: portableBinding("js") };
const tensorflows = (native.tf.backend() as unknown as { binding: Binding }).binding;

for (const [device, binding] of Object.entries(bindings)) {
  test(`${device}: kernels give what TensorFlow's own give: shapes, dtypes, numbers`, () => {
    for (const [name, attributes, inputs, outputs = 1] of cases) {
      const what = `${name}(${inputs.map(({ shape }) => `[${shape}]`).join(", ")}) ${JSON.stringify(attributes)}`;
      const want = given(tensorflows, name, attributes, inputs, outputs), got = given(binding, name, attributes, inputs, outputs);
      assert.deepEqual(got.map(({ shape, dtype }) => ({ shape, dtype })), want.map(({ shape, dtype }) => ({ shape, dtype })), what);
      got.forEach(({ values, dtype }, i) => {
        if (dtype !== DT.f32) return assert.deepEqual(values, want[i].values, what);
        const largest = want[i].values.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
        values.forEach((value, at) => {
          const wanted = want[i].values[at];
          assert.ok(Object.is(value, wanted) || Math.abs(value - wanted) <= 1e-5 * largest, `${what}: number ${at} is ${value}, expected ${wanted}`);
        });
      });
    }
    assert.equal(binding.getNumOfTensors(), 0);
  });
}

test("every kernel that stands in is among the cases, or in what the next tests compute", () => {
  const elsewhere = [
    "SparseTensorToCSRSparseMatrix", "SparseMatrixTranspose", "SparseMatrixMatMul", "SelfAdjointEigV2",
    "VarHandleOp", "AssignVariableOp", "ReadVariableOp", "DestroyResourceOp", "ResourceApplyAdam",
  ];
  const tested = new Set([...cases.map(([name]) => name), ...elsewhere]);
  assert.deepEqual(Object.keys(kernelsWith(plainProduct())).filter((name) => !tested.has(name)), []);
});

test("every kernel that the adapters name stands in, but for the fused ops and what serves them", () => {
  const folder = join(__dirname, "../../../src/adapters");
  const named = readdirSync(folder).flatMap((file) => [...readFileSync(join(folder, file), "utf8").matchAll(/(?:\brun|unary|binary|compare|where)\((?:engine, )?"([A-Z]\w+)"/g)].map(([, name]) => name));
  assert.ok(named.includes("MatMul") && named.includes("ResourceApplyAdam") && named.includes("RealDiv"), named.join(" "));
  const there = new Set(Object.keys(kernelsWith(plainProduct())));
  assert.deepEqual([...new Set(named)].filter((name) => !there.has(name) && !name.startsWith("Sae")), []);
});

for (const engine of [wasm, js]) {
  const K = kernels(engine), N = kernels(native);

  test(`${engine.device}: sparse products are TensorFlow's`, () => {
    const [n, k, columns, w] = [9, 3, 14, 5];
    const index = Int32Array.from({ length: n * k }, () => rng.below(columns)), value = normals(n * k, rng), dense = normals(n * w, rng), other = normals(columns * w, rng);
    const products = (e: Engine): Float32Array[] => {
      const kernelsOf = e === native ? N : K;
      return e.tidy(() => {
        const { entries, shape } = kernelsOf.entries(e.tensor(index, [n, k]), n, k, columns);
        const values = e.tensor(value, [n * k]);
        return [kernelsOf.scatterProduct(entries, values, shape, e.tensor(dense, [n, w])), kernelsOf.sparseProduct(entries, values, shape, e.tensor(other, [columns, w]))].map((id) => e.floats(id));
      });
    };
    const want = products(native);
    products(engine).forEach((got, i) => close(got, want[i], 1e-6, `product ${i}`));
  });

  test(`${engine.device}: eigenvalues ascend and are TensorFlow's, eigenvectors are orthonormal and rebuild the matrix`, () => {
    for (const d of [1, 2, 33, 70]) {
      const rows = normals(40 * d, rng);
      const covariance = native.tidy(() => native.floats(N.matMul(native.tensor(rows, [40, d]), native.tensor(rows, [40, d]), { transposeA: true }))); // 30 eigenvalues of d = 70 are 0
      const of = (e: Engine): Float32Array[] => e.tidy(() => (e === native ? N : K).eigen(e.tensor(covariance, [d, d])).map((id) => e.floats(id)));
      const [values, vectors] = of(engine), [want] = of(native);
      close(values, want, 1e-6, `eigenvalues, d ${d}`);
      const rebuilt = new Float32Array(d * d), identity = new Float32Array(d * d);
      for (let i = 0; i < d; i++) {
        for (let j = 0; j < d; j++) {
          for (let e = 0; e < d; e++) {
            rebuilt[i * d + j] += values[e] * vectors[i * d + e] * vectors[j * d + e];
            identity[i * d + j] += vectors[e * d + i] * vectors[e * d + j];
          }
        }
      }
      close(rebuilt, covariance, 2e-6, `V·Λ·Vᵀ, d ${d}`);
      close(identity, Float32Array.from({ length: d * d }, (_, i) => (i % (d + 1) ? 0 : 1)), 2e-6, `Vᵀ·V, d ${d}`);
    }
  });

  test(`${engine.device}: a variable's value, once read, stays what it was while Adam moves the variable`, () => {
    const begin = normals(6, rng), gradient = normals(6, rng), before = engine.live();
    const [w, m, v] = [begin, new Float32Array(6), new Float32Array(6)].map((data) => K.variable(data, [6]));
    const held = K.read(w), copy = begin.slice();
    engine.tidy(() => K.adam(w, m, v, engine.tensor(gradient, [6]), adamNumbers(1, 0.1).map(K.scalar)));
    assert.deepEqual(engine.floats(held), copy);
    close(engine.tidy(() => engine.floats(K.read(w))), begin.map((x, i) => x - 0.1 * Math.sign(gradient[i])), 1e-5, "the first step of Adam"); // m/√v = ±1
    engine.free(held);
    engine.tidy(() => K.assign(w, K.mul(K.read(w), K.scalar(2))));
    engine.tidy(() => K.adam(w, m, v, engine.tensor(gradient, [6]), adamNumbers(2, 0.1).map(K.scalar)));
    assert.deepEqual(begin, copy);
    for (const variable of [w, m, v]) K.destroy(variable);
    assert.equal(engine.live(), before);
  });

  agreesWithTorch(`steps on ${engine.device}`, (initial) => stockStep(engine, initial));

  const torch = torchKinds();
  for (const kind of KINDS) {
    test(`${kind} on ${engine.device}: every structure agrees with PyTorch's autograd and Adam, and gives its tensors back`, () => {
      const before = engine.live();
      for (const structure of STRUCTURES) {
        const initial = torch.start(kind, structure), step = stockStep(engine, initial);
        const { dead, l0Weight, learningRate, split, floats } = torch;
        const want = split(floats(`${kind}.${structure}.end`), initial.parameters), losses = floats(`${kind}.${structure}.losses`);
        for (let t = 0; t < torch.steps; t++) {
          const { fvu, extra, aux } = step.update(torch.x(t), { dead, l0Weight, ...torch.target(t, structure), learningRate });
          [fvu, extra, aux].forEach((value, i) => {
            const wanted = losses[3 * t + i];
            assert.ok(Math.abs(value - wanted) <= 2e-5 * Math.abs(wanted) + 1e-7, `${structure}, step ${t}: loss ${i} is ${value}, expected ${wanted}`);
          });
        }
        const { parameters } = step.state();
        for (const part of partsOf(parameters)) close(parameters[part]!, want[part]!, 5e-5, `${structure}: ${part} at the end`);
        step.dispose();
      }
      assert.equal(engine.live(), before);
    });
  }
}

test("a product that several threads share is, bit for bit, what one thread computes of a few rows at a time", () => {
  const product = wasmProduct()!;
  for (const [n, m, k] of [[512, 512, 100], [70, 1024, 600], [515, 530, 300], [16, 5000, 300]]) {
    const a = normals(n * k, rng), b: Matrix = { data: normals(m * k, rng), rows: m, columns: k, transposed: false };
    const rows = (from: number, count: number): Float32Array => product({ data: a.subarray(from * k, (from + count) * k), rows: count, columns: k, transposed: false }, b);
    const want = new Float32Array(n * m);
    for (let from = 0; from < n; from += 6) want.set(rows(from, Math.min(6, n - from)), from * m); // below what wakes other threads
    for (let turn = 0; turn < 8; turn++) assert.equal(Buffer.compare(Buffer.from(rows(0, n).buffer, 0, 4 * n * m), Buffer.from(want.buffer)), 0, `[${n}, ${k}] · [${k}, ${m}], turn ${turn}`);
  }
});

test("what cannot be is an EngineError that names the kernel: shapes, indices, an op or a dtype that is not here", () => {
  const K = kernels(wasm);
  const fails = (body: () => unknown, pattern: RegExp): void => assert.throws(() => wasm.tidy(body), (error: Error) => error instanceof EngineError && pattern.test(error.message));
  const x = (...shape: number[]): Id => wasm.tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  fails(() => K.matMul(x(2, 3), x(2, 3)), /^WebAssembly, kernel MatMul: expected matrices that fit, found \[2, 3\] and \[2, 3\]/);
  fails(() => K.add(x(2, 3), x(2)), /AddV2: expected shapes that broadcast/);
  fails(() => K.gather(x(4, 2), K.ints(4)), /GatherV2: expected indices of 0 to 3, found 4/);
  fails(() => K.topK(x(2, 3), 4), /TopKV2: expected k of 0 to 3, found 4/);
  fails(() => K.reshape(x(2, 3), [4]), /Reshape: expected 6 numbers/);
  fails(() => K.slice(x(2, 3), [1, 0], [2, 3]), /Slice: expected a part of \[2,3\]/);
  fails(() => wasm.run("SaeTopK", {}, [x(2, 3)]), /kernel SaeTopK: expected one that is here without TensorFlow/);
  fails(() => K.cast(x(2), DT.f32, DT.bf16), /kernel Cast: expected float32, float64, int32, int64 or bool, found dtype 14/);
  assert.throws(() => wasm.tidy(() => K.matMul(x(2 ** 17, 1), x(1, 2 ** 17))), (error: Error) => error instanceof MemoryError && /^WebAssembly, kernel MatMul/.test(error.message)); // 69 GB
  const id = x(2);
  wasm.free(id);
  fails(() => K.square(id), /kernel Square: tensor \d+: expected one that is held/);
  assert.equal(wasm.live(), 0);
});
