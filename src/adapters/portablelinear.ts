import { symmetricEigen } from "../core/eigen";
import { floatsOf, tensorOf, type Kernel, type Tensor } from "./portabletensor";
import { blankFloats } from "./portablepool";
import type { Product } from "./portableproduct";
import { DT } from "./dtype";

/** TensorFlow's kernels of linear algebra, by their names there, without TensorFlow: products dense and sparse, eigenvalues. */

/** A sparse matrix [rows, columns]: of row r the entries start[r] to start[r + 1]. */
interface Csr {
  rows: number;
  columns: number;
  start: Int32Array;
  column: Int32Array;
  value: Float32Array;
}

/** out + factor·x, of rows of w numbers. */
function addRow(out: Float32Array, to: number, x: Float32Array, from: number, w: number, factor: number): void {
  for (let c = 0; c < w; c++) out[to + c] += factor * x[from + c];
}

const matMul = (product: Product): Kernel => ([a, b], { transpose_a: transposeA, transpose_b: transposeB }) => {
  const [n, k] = transposeA ? [a.shape[1], a.shape[0]] : a.shape;
  const [m, inner] = transposeB ? b.shape : [b.shape[1], b.shape[0]];
  if (k !== inner) throw new RangeError(`expected matrices that fit, found [${n}, ${k}] and [${inner}, ${m}]`);
  const out = product(
    { data: floatsOf(a.data), rows: n, columns: k, transposed: transposeA === true },
    { data: floatsOf(b.data), rows: m, columns: k, transposed: transposeB !== true });
  return [tensorOf(out, [n, m], DT.f32)];
};

/** Matrices [n, k] · [k, m], or [m, k] with adj_y, of each batch: small ones, many. */
const batchMatMul: Kernel = ([a, b], { adj_x: transposeA, adj_y: transposeB }) => {
  const batch = a.shape.slice(0, -2), rank = a.shape.length;
  const [n, k] = a.shape.slice(-2);
  const [inner, m] = transposeB ? [b.shape[rank - 1], b.shape[rank - 2]] : b.shape.slice(-2);
  if (transposeA || k !== inner || `${batch}` !== `${b.shape.slice(0, -2)}`) {
    throw new RangeError(`expected [..., n, k] and [..., k, m] of the same batches, the first not transposed, found [${a.shape}] and [${b.shape}]`);
  }
  const x = floatsOf(a.data), y = floatsOf(b.data);
  const count = batch.reduce((p, q) => p * q, 1);
  const out = blankFloats(count * n * m);
  for (let row = 0; row < count * n; row++) {
    const right = Math.floor(row / n) * k * m;
    if (transposeB) {
      for (let c = 0; c < m; c++) {
        let dot = 0;
        for (let p = 0; p < k; p++) dot += x[row * k + p] * y[right + c * k + p];
        out[row * m + c] = dot;
      }
      continue;
    }
    out.fill(0, row * m, (row + 1) * m);
    for (let p = 0; p < k; p++) addRow(out, row * m, y, right + p * m, m, x[row * k + p]);
  }
  return [tensorOf(out, [...batch, n, m], DT.f32)];
};

const sparse = (csr: Csr): Tensor => tensorOf(new Float32Array(0), [], DT.variant, { count: 0 }, csr);

const csrOf = ({ of }: Tensor): Csr => of as Csr;

/** Of places [m, 2] whose rows ascend. */
const toCsr: Kernel = ([places, value, shape]) => {
  const [rows, columns] = shape.data;
  const count = value.data.length, start = new Int32Array(rows + 1), column = new Int32Array(count);
  for (let i = 0, last = 0; i < count; i++) {
    const row = places.data[2 * i];
    column[i] = places.data[2 * i + 1];
    if (!(row >= last && row < rows && column[i] >= 0 && column[i] < columns)) throw new RangeError(`expected ascending places within [${rows}, ${columns}], found (${row}, ${column[i]}) after row ${last}`);
    start[row + 1]++;
    last = row;
  }
  for (let row = 0; row < rows; row++) start[row + 1] += start[row];
  return [sparse({ rows, columns, start, column, value: floatsOf(value.data).slice() })];
};

const transposeCsr: Kernel = ([matrix]) => {
  const { rows, columns, start, column, value } = csrOf(matrix);
  const begins = new Int32Array(columns + 1);
  for (const c of column) begins[c + 1]++;
  for (let c = 0; c < columns; c++) begins[c + 1] += begins[c];
  const next = begins.slice(), rowOf = new Int32Array(column.length), moved = new Float32Array(column.length);
  for (let row = 0; row < rows; row++) {
    for (let i = start[row]; i < start[row + 1]; i++) {
      const at = next[column[i]]++;
      rowOf[at] = row;
      moved[at] = value[i];
    }
  }
  return [sparse({ rows: columns, columns: rows, start: begins, column: rowOf, value: moved })];
};

/** A sparse matrix times a dense one [columns, w]; of flags none is used here. */
const sparseMatMul: Kernel = ([matrix, dense], flags) => {
  if (Object.values(flags).some((flag) => flag === true)) throw new RangeError("expected no matrix to be transposed");
  const { rows, columns, start, column, value } = csrOf(matrix);
  const w = dense.shape[1];
  if (dense.shape[0] !== columns) throw new RangeError(`expected [${columns}, w] on the right, found [${dense.shape}]`);
  const out = blankFloats(rows * w).fill(0), right = floatsOf(dense.data);
  for (let row = 0; row < rows; row++) {
    for (let i = start[row]; i < start[row + 1]; i++) addRow(out, row * w, right, column[i] * w, w, value[i]);
  }
  return [tensorOf(out, [rows, w], DT.f32)];
};

/** Eigenvalues ascending [d] and eigenvectors as columns [d, d] of a symmetric matrix, float64. */
const eigen: Kernel = ([x]) => {
  const [d] = x.shape;
  const { values, vectors } = symmetricEigen(x.data, d);
  return [tensorOf(values, [d], DT.f64), tensorOf(vectors, [d, d], DT.f64)];
};

/** By TensorFlow's names; float32, but for the eigenvalues. */
export const linearKernels = (product: Product): Record<string, Kernel> => ({
  MatMul: matMul(product),
  BatchMatMulV2: batchMatMul,
  SparseTensorToCSRSparseMatrix: toCsr,
  SparseMatrixTranspose: transposeCsr,
  SparseMatrixMatMul: sparseMatMul,
  SelfAdjointEigV2: eigen,
});
