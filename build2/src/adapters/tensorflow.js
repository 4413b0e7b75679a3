"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.EPSILON = exports.BETA2 = exports.BETA1 = exports.DT = void 0;
exports.tensorflow = tensorflow;
exports.kernels = kernels;
const errors_1 = require("../core/errors");
/** TensorFlow's own numbers of the dtypes used here (tensorflow/core/framework/types.proto). */
exports.DT = { f32: 1, f64: 2, i32: 3, i64: 9, bf16: 14, variant: 21 };
const REMEDY = "Run `npm run setup`: it installs TensorFlow into .venv and builds the binding against it (make and g++ are needed).";
let engine;
/**
 * The one TensorFlow of this process, loaded on first use.
 * @throws EngineError when the binding is missing or TF.js fell back to another backend
 */
function tensorflow() {
    return (engine ??= load());
}
function load() {
    // Removed in Node 23; TF.js 4.22 still calls them.
    const util = require("node:util");
    util.isNullOrUndefined ??= (value) => value === null || value === undefined;
    util.isArray ??= Array.isArray;
    // Read by libtensorflow when it is loaded: oneDNN's products are up to 1.4 times as fast, and level 2 keeps start-up
    // notices off stderr.
    process.env.TF_ENABLE_ONEDNN_OPTS ??= "1";
    process.env.TF_CPP_MIN_LOG_LEVEL ??= "2";
    let tf;
    try {
        tf = require("@tensorflow/tfjs-node-gpu");
    }
    catch (error) {
        throw new errors_1.EngineError(`@tensorflow/tfjs-node-gpu: expected its native binding, found: ${firstLine(error)}. ${REMEDY}`);
    }
    if (tf.getBackend() !== "tensorflow") {
        throw new errors_1.EngineError(`TensorFlow.js: expected the backend "tensorflow", found "${tf.getBackend()}". ${REMEDY}`);
    }
    return engineOf(tf, tf.backend().binding);
}
const firstLine = (error) => String(error?.message ?? error).split("\n")[0];
function engineOf(tf, binding) {
    const scopes = [];
    const keep = (id) => {
        scopes.at(-1)?.add(id);
        return id;
    };
    const attribute = (name, value) => {
        switch (typeof value) {
            case "boolean": return { name, type: binding.TF_ATTR_BOOL, value };
            case "number": return { name, type: binding.TF_ATTR_INT, value };
            case "string": return { name, type: binding.TF_ATTR_STRING, value };
            default: return "type" in value ? { name, type: binding.TF_ATTR_TYPE, value: value.type } : { name, type: binding.TF_ATTR_SHAPE, value: value.shape };
        }
    };
    const free = (...ids) => {
        for (const id of ids) {
            for (const scope of scopes)
                scope.delete(id);
            binding.deleteTensor(id);
        }
    };
    return {
        tf,
        version: binding.TF_Version,
        device: binding.isUsingGpuDevice() ? "cuda" : "cpu",
        tensor: (data, shape) => keep(binding.createTensor(shape, data instanceof Int32Array ? exports.DT.i32 : exports.DT.f32, data)),
        run(name, attributes, inputs, outputs = 1) {
            try {
                const encoded = Object.entries(attributes).map(([key, value]) => attribute(key, value));
                return binding.executeOp(name, encoded, inputs, outputs).map((out) => keep(out.id));
            }
            catch (error) {
                throw new errors_1.EngineError(`TensorFlow ${binding.TF_Version}, kernel ${name}: ${firstLine(error)}`);
            }
        },
        floats: (id) => binding.tensorDataSync(id),
        ints: (id) => binding.tensorDataSync(id),
        free,
        tidy(body) {
            const scope = new Set();
            scopes.push(scope);
            let kept = [];
            try {
                const result = body();
                kept = ArrayBuffer.isView(result) ? [] : typeof result === "object" && result !== null ? Object.values(result) : [result];
                return result;
            }
            finally {
                scopes.pop();
                for (const id of scope) {
                    if (kept.includes(id))
                        scopes.at(-1)?.add(id);
                    else
                        binding.deleteTensor(id);
                }
            }
        },
        live: () => binding.getNumOfTensors(),
    };
}
/** The kernels used here, typed and named. Shapes as in TensorFlow's own documentation. */
function kernels(engine) {
    const { run, tensor } = engine;
    const f32 = { type: exports.DT.f32 };
    const i32 = { type: exports.DT.i32 };
    const scalar = (value) => tensor(Float32Array.of(value), []);
    const int = (value) => tensor(Int32Array.of(value), []);
    const ints = (...values) => tensor(Int32Array.from(values), [values.length]);
    const unary = (name) => (x) => run(name, { T: f32 }, [x])[0];
    const binary = (name, T = exports.DT.f32) => (a, b) => run(name, { T: { type: T } }, [a, b])[0];
    return {
        scalar, int, ints,
        relu: (x) => run("Relu", { T: f32 }, [x])[0],
        square: unary("Square"),
        rsqrt: unary("Rsqrt"),
        mul: binary("Mul"),
        add: binary("AddV2"),
        sub: binary("Sub"),
        squaredDifference: binary("SquaredDifference"),
        addInts: binary("AddV2", exports.DT.i32),
        subInts: binary("Sub", exports.DT.i32),
        mulInts: binary("Mul", exports.DT.i32),
        divideInts: binary("FloorDiv", exports.DT.i32),
        negateInts: (x) => run("Neg", { T: i32 }, [x])[0],
        /** gradient where y > 0, else 0: what ReLU lets through. */
        reluGrad: (gradient, y) => run("ReluGrad", { T: f32 }, [gradient, y])[0],
        cast: (x, from, to) => run("Cast", { SrcT: { type: from }, DstT: { type: to }, Truncate: false }, [x])[0],
        matMul: (a, b, { transposeA = false, transposeB = false, dtype = exports.DT.f32 } = {}) => run("MatMul", { T: { type: dtype }, transpose_a: transposeA, transpose_b: transposeB }, [a, b])[0],
        batchMatMul: (a, b, transposeB = false) => run("BatchMatMulV2", { T: f32, adj_x: false, adj_y: transposeB }, [a, b])[0],
        reshape: (x, shape, dtype = exports.DT.f32) => run("Reshape", { T: { type: dtype }, Tshape: i32 }, [x, ints(...shape)])[0],
        slice: (x, begin, size, dtype = exports.DT.f32) => run("Slice", { T: { type: dtype }, Index: i32 }, [x, ints(...begin), ints(...size)])[0],
        concat: (parts, axis) => run("ConcatV2", { N: parts.length, T: f32, Tidx: i32 }, [...parts, int(axis)])[0],
        /** Rows of x [n, …] at `index`; with batchDims 1, of each batch row its own. */
        gather: (x, index, { batchDims = 0, dtype = exports.DT.f32 } = {}) => run("GatherV2", { batch_dims: batchDims, Tparams: { type: dtype }, Tindices: i32, Taxis: i32 }, [x, index, int(batchDims)])[0],
        sum: (x, axes, keepDims = false) => run("Sum", { T: f32, Tidx: i32, keep_dims: keepDims }, [x, ints(...axes)])[0],
        max: (x, axis, dtype = exports.DT.f32) => run("Max", { T: { type: dtype }, Tidx: i32, keep_dims: false }, [x, int(axis)])[0],
        /** Largest k of each row, larger first, ties by smaller index. */
        topK: (x, k, dtype = exports.DT.f32) => run("TopKV2", { T: { type: dtype }, Tk: i32, index_type: i32, sorted: true }, [x, int(k)], 2),
        /** Of each row of x [n, columns] the k largest, and those that equal the least of them; 0 elsewhere. */
        keepLargest(x, k, n) {
            const least = run("NthElement", { T: f32, reverse: true }, [x, int(k - 1)])[0];
            const bound = run("Reshape", { T: f32, Tshape: i32 }, [least, ints(n, 1)])[0];
            const kept = run("GreaterEqual", { T: f32 }, [x, bound])[0];
            return run("SelectV2", { T: f32 }, [kept, x, scalar(0)])[0];
        },
        segmentSum: (x, segments, count) => run("UnsortedSegmentSum", { T: f32, Tindices: i32, Tnumsegments: i32 }, [x, segments, int(count)])[0],
        /** x with `updates` [m, w] added to its rows `index` [m, 1]. */
        addToRows: (x, index, updates) => run("TensorScatterAdd", { T: f32, Tindices: i32 }, [x, index, updates])[0],
        /**
         * Σ over rows b of values[b, i]·dense[b, :], gathered by latent index[b, i]: the transpose of a sparse [n, columns]
         * matrix with k entries a row, times dense [n, w]. → [columns, w]. Transposing the matrix first is several times as
         * fast as the product's own transpose_a.
         */
        scatterProduct(entries, values, shape, dense) {
            const sparse = run("SparseTensorToCSRSparseMatrix", { T: f32 }, [entries, values, shape])[0];
            const transposed = run("SparseMatrixTranspose", { conjugate: false, type: f32 }, [sparse])[0];
            const off = { transpose_a: false, transpose_b: false, adjoint_a: false, adjoint_b: false, transpose_output: false, conjugate_output: false };
            return run("SparseMatrixMatMul", { T: f32, ...off }, [transposed, dense])[0];
        },
        /** Places of a sparse [n, columns] matrix from column indices [n, k] (int32): [n·k, 2] and [2], int64. */
        entries(index, n, k, columns) {
            const rows = new Int32Array(n * k);
            for (let i = 0; i < rows.length; i++)
                rows[i] = Math.trunc(i / k);
            const long = (x) => run("Cast", { SrcT: i32, DstT: { type: exports.DT.i64 }, Truncate: false }, [x])[0];
            const flat = run("Reshape", { T: i32, Tshape: i32 }, [index, ints(n * k)])[0];
            const pairs = run("Pack", { N: 2, T: i32, axis: 1 }, [tensor(rows, [n * k]), flat])[0];
            return { entries: long(pairs), shape: long(ints(n, columns)) };
        },
        /** Eigenvalues ascending [d] and eigenvectors as columns [d, d] of a symmetric matrix, in float64. */
        eigen(x) {
            const f64 = { type: exports.DT.f64 };
            const wide = run("Cast", { SrcT: f32, DstT: f64, Truncate: false }, [x])[0];
            return run("SelfAdjointEigV2", { T: f64, compute_v: true }, [wide], 2).map((y) => run("Cast", { SrcT: f64, DstT: f32, Truncate: false }, [y])[0]);
        },
        /** A variable with a copy of `data`; make it outside `tidy`, and end it with `destroy`. */
        variable(data, shape) {
            const handle = run("VarHandleOp", { dtype: f32, shape: { shape }, shared_name: `saelab-${variables++}`, container: "" }, [])[0];
            const value = tensor(data.slice(), shape); // updates are made in place: never in the caller's memory
            run("AssignVariableOp", { dtype: f32 }, [handle, value], 0);
            engine.free(value);
            return handle;
        },
        read: (variable) => run("ReadVariableOp", { dtype: f32 }, [variable])[0],
        assign: (variable, value) => void run("AssignVariableOp", { dtype: f32 }, [variable, value], 0),
        destroy(variable) {
            run("DestroyResourceOp", { ignore_lookup_error: true }, [variable], 0);
            engine.free(variable);
        },
        /**
         * One step of Adam in place (β₁ 0.9, β₂ 0.999). TensorFlow adds ε before the bias correction, PyTorch after it: with
         * ε·√(1 − β₂ᵗ) they agree.
         * @param t number of this step, from 1
         */
        adam(variable, m, v, gradient, t, learningRate) {
            const hyper = [exports.BETA1 ** t, exports.BETA2 ** t, learningRate, exports.BETA1, exports.BETA2, exports.EPSILON * Math.sqrt(1 - exports.BETA2 ** t)].map(scalar);
            run("ResourceApplyAdam", { T: f32, use_locking: false, use_nesterov: false }, [variable, m, v, ...hyper, gradient], 0);
        },
    };
}
exports.BETA1 = 0.9;
exports.BETA2 = 0.999;
exports.EPSILON = 1e-8;
let variables = 0; // names must differ within the process
//# sourceMappingURL=tensorflow.js.map