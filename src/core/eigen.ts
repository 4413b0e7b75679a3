/**
 * Eigenvalues and eigenvectors of a symmetric matrix in float64: Householder reflections to a tridiagonal matrix, then QL steps with
 * implicit shifts. All loops go along rows, and rotations of many steps are applied to a few columns at a time, which stay in the cache.
 * @param matrix [d, d]; its lower triangle is read
 * @returns values ascending [d], vectors as columns [d, d], orthonormal: A = V·diag(values)·Vᵀ
 * @throws RangeError when numbers are not finite
 * @see Golub & Van Loan, Matrix Computations, §8.3.1 and §8.3.3 to 8.3.5
 */
export function symmetricEigen(matrix: ArrayLike<number>, d: number): { values: Float64Array; vectors: Float64Array } {
  const a = Float64Array.from(matrix);
  for (const value of a) if (!Number.isFinite(value)) throw new RangeError(`expected finite numbers, found ${value}`);
  const { diagonal, beside, rows } = tridiagonal(a, d);
  qlSteps(diagonal, beside, rows, d);
  const order = Array.from(diagonal.keys()).sort((i, j) => diagonal[i] - diagonal[j]);
  const vectors = new Float64Array(d * d);
  order.forEach((from, to) => {
    for (let k = 0; k < d; k++) vectors[k * d + to] = rows[from * d + k];
  });
  return { values: Float64Array.from(order, (i) => diagonal[i]), vectors };
}

/**
 * A = Qᵀ'·T·Q' of reflections I − u·uᵀ/h, row by row from the last. The matrix is overwritten with the vectors u.
 * @returns T's diagonal [d] and what is beside it: beside[i] joins i and i + 1; Qᵀ, whose rows are to be rotated
 */
function tridiagonal(a: Float64Array, d: number): { diagonal: Float64Array; beside: Float64Array; rows: Float64Array } {
  const diagonal = new Float64Array(d), beside = new Float64Array(d), heights = new Float64Array(d), q = new Float64Array(d);
  for (let i = d - 1; i > 0; i--) {
    const u = a.subarray(i * d, i * d + i);
    let scale = 0;
    for (let k = 0; k < i - 1; k++) scale = Math.max(scale, Math.abs(u[k]));
    if (scale === 0) { // nothing to reflect away
      beside[i - 1] = u[i - 1];
      continue;
    }
    scale = Math.max(scale, Math.abs(u[i - 1])); // squares neither overflow nor vanish
    let squares = 0;
    for (let k = 0; k < i; k++) squares += (u[k] /= scale) * u[k];
    const length = u[i - 1] > 0 ? -Math.sqrt(squares) : Math.sqrt(squares);
    beside[i - 1] = scale * length;
    const h = squares - u[i - 1] * length;
    u[i - 1] -= length;
    heights[i] = h;
    q.fill(0, 0, i);
    for (let j = 0; j < i; j++) { // q = A·u, of the lower triangle alone
      const row = j * d, uj = u[j];
      let dot = a[row + j] * uj;
      for (let k = 0; k < j; k++) {
        dot += a[row + k] * u[k];
        q[k] += a[row + k] * uj;
      }
      q[j] += dot;
    }
    let along = 0;
    for (let k = 0; k < i; k++) along += (q[k] /= h) * u[k];
    along /= 2 * h;
    for (let k = 0; k < i; k++) q[k] -= along * u[k];
    for (let j = 0; j < i; j++) {
      const row = j * d, uj = u[j], qj = q[j];
      for (let k = 0; k <= j; k++) a[row + k] -= uj * q[k] + qj * u[k];
    }
  }
  const rows = new Float64Array(d * d);
  for (let i = 0; i < d; i++) {
    diagonal[i] = a[i * d + i];
    rows[i * d + i] = 1;
    const h = heights[i];
    if (h === 0) continue;
    for (let r = 0; r < i; r++) {
      let dot = 0;
      for (let k = 0; k < i; k++) dot += rows[r * d + k] * a[i * d + k];
      dot /= h;
      for (let k = 0; k < i; k++) rows[r * d + k] -= dot * a[i * d + k];
    }
  }
  return { diagonal, beside, rows };
}

const MOST_STEPS = 60; // of one eigenvalue; two are usual
const COLUMNS = 64; // rotated at a time
const QUEUE = 16; // rotations for each row that are kept together

/** Diagonalises T in place; its rotations are applied to rows [d, d]. */
function qlSteps(diagonal: Float64Array, beside: Float64Array, rows: Float64Array, d: number): void {
  const most = QUEUE * d, at = new Int32Array(most), cosines = new Float64Array(most), sines = new Float64Array(most);
  let queued = 0;
  const flush = (): void => {
    for (let from = 0; from < d; from += COLUMNS) {
      const end = Math.min(d, from + COLUMNS);
      for (let i = 0; i < queued; i++) rotate(rows, at[i] * d, d, from, end, cosines[i], sines[i]);
    }
    queued = 0;
  };
  for (let l = 0; l < d; l++) {
    for (let step = 0; ; step++) {
      let m = l;
      while (m < d - 1 && Math.abs(beside[m]) > Number.EPSILON * (Math.abs(diagonal[m]) + Math.abs(diagonal[m + 1]))) m++;
      if (m === l) break;
      if (step === MOST_STEPS) throw new RangeError(`expected eigenvalue ${l} within ${MOST_STEPS} steps, found none`);
      if (queued + m - l > most) flush();
      // the shift: the eigenvalue of the first two by two block that is nearer to its first number
      const half = (diagonal[l + 1] - diagonal[l]) / (2 * beside[l]);
      let g = diagonal[m] - diagonal[l] + beside[l] / (half + (half < 0 ? -1 : 1) * Math.hypot(half, 1));
      let sine = 1, cosine = 1, moved = 0, i = m - 1;
      for (; i >= l; i--) { // the bulge goes from the end to the beginning
        const f = sine * beside[i], b = cosine * beside[i];
        const r = Math.hypot(f, g);
        beside[i + 1] = r;
        if (r === 0) { // T falls apart here
          diagonal[i + 1] -= moved;
          break;
        }
        sine = f / r;
        cosine = g / r;
        g = diagonal[i + 1] - moved;
        const sum = (diagonal[i] - g) * sine + 2 * cosine * b;
        moved = sine * sum;
        diagonal[i + 1] = g + moved;
        g = cosine * sum - b;
        at[queued] = i;
        cosines[queued] = cosine;
        sines[queued++] = sine;
      }
      if (i < l) {
        diagonal[l] -= moved;
        beside[l] = g;
      }
      beside[m] = 0;
    }
  }
  flush();
}

/** Rows i and i + 1, the first beginning at `row`, in columns from … end. */
function rotate(rows: Float64Array, row: number, d: number, from: number, end: number, cosine: number, sine: number): void {
  for (let k = row + from; k < row + end; k++) {
    const x = rows[k], y = rows[k + d];
    rows[k + d] = sine * x + cosine * y;
    rows[k] = cosine * x - sine * y;
  }
}
