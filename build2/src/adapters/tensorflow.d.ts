/**
 * Finds TensorFlow, names it, and runs its kernels by name.
 *
 * TF.js reaches TensorFlow through a native binding whose executeOp runs any registered kernel eagerly, more of them than
 * TF.js itself wraps. Tensors are numbers here: ids of handles that the binding keeps until they are deleted. `tidy`
 * deletes what was made inside it.
 */
/** A tensor that the binding holds. */
export type Id = number & {
    readonly tensor: unique symbol;
};
/** TensorFlow's own numbers of the dtypes used here (tensorflow/core/framework/types.proto). */
export declare const DT: {
    readonly f32: 1;
    readonly f64: 2;
    readonly i32: 3;
    readonly i64: 9;
    readonly bf16: 14;
    readonly variant: 21;
};
export type Dtype = (typeof DT)[keyof typeof DT];
/** What a kernel wants to know besides its inputs: { type } is a dtype, { shape } a shape; a number is an integer. */
export type Attributes = Record<string, number | boolean | string | {
    type: Dtype;
} | {
    shape: number[];
}>;
type TfModule = typeof import("@tensorflow/tfjs-node-gpu");
export interface Engine {
    tf: TfModule;
    /** Version of the TensorFlow underneath, such as "2.21.0". */
    version: string;
    device: "cpu" | "cuda";
    /** Uploads an array. On the CPU the memory may be shared: the array must not change while the tensor lives. */
    tensor(data: Float32Array | Int32Array, shape: number[]): Id;
    /** Runs a kernel. @throws EngineError with the kernel's name */
    run(name: string, attributes: Attributes, inputs: Id[], outputs?: number): Id[];
    /** A copy of a tensor's values. */
    floats(id: Id): Float32Array;
    ints(id: Id): Int32Array;
    free(...ids: Id[]): void;
    /**
     * Deletes every tensor made inside `body`, also when it throws, but for those that `body` returns: as an Id, in an array
     * or in an object.
     */
    tidy<T>(body: () => T): T;
    /** Tensors the binding holds now: what a test of leaks counts. */
    live(): number;
}
/**
 * The one TensorFlow of this process, loaded on first use.
 * @throws EngineError when the binding is missing or TF.js fell back to another backend
 */
export declare function tensorflow(): Engine;
/** The kernels used here, typed and named. Shapes as in TensorFlow's own documentation. */
export declare function kernels(engine: Engine): {
    scalar: (value: number) => Id;
    int: (value: number) => Id;
    ints: (...values: number[]) => Id;
    relu: (x: Id) => Id;
    square: (x: Id) => Id;
    rsqrt: (x: Id) => Id;
    mul: (a: Id, b: Id) => Id;
    add: (a: Id, b: Id) => Id;
    sub: (a: Id, b: Id) => Id;
    squaredDifference: (a: Id, b: Id) => Id;
    addInts: (a: Id, b: Id) => Id;
    subInts: (a: Id, b: Id) => Id;
    mulInts: (a: Id, b: Id) => Id;
    divideInts: (a: Id, b: Id) => Id;
    negateInts: (x: Id) => Id;
    /** gradient where y > 0, else 0: what ReLU lets through. */
    reluGrad: (gradient: Id, y: Id) => Id;
    cast: (x: Id, from: Dtype, to: Dtype) => Id;
    matMul: (a: Id, b: Id, { transposeA, transposeB, dtype }?: {
        dtype?: Dtype | undefined;
        transposeA?: boolean | undefined;
        transposeB?: boolean | undefined;
    }) => Id;
    batchMatMul: (a: Id, b: Id, transposeB?: boolean) => Id;
    reshape: (x: Id, shape: number[], dtype?: Dtype) => Id;
    slice: (x: Id, begin: number[], size: number[], dtype?: Dtype) => Id;
    concat: (parts: Id[], axis: number) => Id;
    /** Rows of x [n, …] at `index`; with batchDims 1, of each batch row its own. */
    gather: (x: Id, index: Id, { batchDims, dtype }?: {
        batchDims?: number | undefined;
        dtype?: Dtype | undefined;
    }) => Id;
    sum: (x: Id, axes: number[], keepDims?: boolean) => Id;
    max: (x: Id, axis: number, dtype?: Dtype) => Id;
    /** Largest k of each row, larger first, ties by smaller index. */
    topK: (x: Id, k: number, dtype?: Dtype) => Id[];
    /** Of each row of x [n, columns] the k largest, and those that equal the least of them; 0 elsewhere. */
    keepLargest(x: Id, k: number, n: number): Id;
    segmentSum: (x: Id, segments: Id, count: number) => Id;
    /** x with `updates` [m, w] added to its rows `index` [m, 1]. */
    addToRows: (x: Id, index: Id, updates: Id) => Id;
    /**
     * Σ over rows b of values[b, i]·dense[b, :], gathered by latent index[b, i]: the transpose of a sparse [n, columns]
     * matrix with k entries a row, times dense [n, w]. → [columns, w]. Transposing the matrix first is several times as
     * fast as the product's own transpose_a.
     */
    scatterProduct(entries: Id, values: Id, shape: Id, dense: Id): Id;
    /** Places of a sparse [n, columns] matrix from column indices [n, k] (int32): [n·k, 2] and [2], int64. */
    entries(index: Id, n: number, k: number, columns: number): {
        entries: Id;
        shape: Id;
    };
    /** Eigenvalues ascending [d] and eigenvectors as columns [d, d] of a symmetric matrix, in float64. */
    eigen(x: Id): Id[];
    /** A variable with a copy of `data`; make it outside `tidy`, and end it with `destroy`. */
    variable(data: Float32Array, shape: number[]): Id;
    read: (variable: Id) => Id;
    assign: (variable: Id, value: Id) => void;
    destroy(variable: Id): void;
    /**
     * One step of Adam in place (β₁ 0.9, β₂ 0.999). TensorFlow adds ε before the bias correction, PyTorch after it: with
     * ε·√(1 − β₂ᵗ) they agree.
     * @param t number of this step, from 1
     */
    adam(variable: Id, m: Id, v: Id, gradient: Id, t: number, learningRate: number): void;
};
export declare const BETA1 = 0.9;
export declare const BETA2 = 0.999;
export declare const EPSILON = 1e-8;
export {};
