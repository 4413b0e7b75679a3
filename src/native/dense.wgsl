// Dense products of the auxiliary loss (auxiliary.wgsl), and of a skip connection's gradient, by the tiles of product.wgsl. v is
// [rows, stride]; its `columns` from `first` on take part.
//
// Given as constants: T (threads each way, 8 or 16).
struct Given {
  rows: u32, from_row: u32, columns: u32, first: u32, stride: u32,
  base: u32, again: u32, width: u32, // the latent of b's first row; 1 to add to what is there; of b and out, in fours
}
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> v: array<vec4f>; // [rows, stride / 4]
@group(0) @binding(2) var<storage, read> b: array<vec4f>; // of rebuild rows of a tile of W_dec; of outer [n, width]
@group(0) @binding(3) var<storage, read> list: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

const NONE = 0xffffffffu;
const R = T / 2u; // outputs of a thread downwards
const Q = T / 8u; // fours of them to the right
const DOWN = T * R;
const ACROSS = T * Q; // fours
const STEP = 8u; // T·T = STEP·ACROSS = 2·DOWN: each thread loads four numbers of each tile
var<workgroup> a_tile: array<vec4f, 3u * DOWN>; // rebuild: [DOWN, 2 + 1] along the latents; outer: [STEP, DOWN / 4]
var<workgroup> b_tile: array<vec4f, STEP * ACROSS>; // [STEP, ACROSS]

fn store(row: u32, c: u32, value: vec4f, rows: u32) {
  if (row >= rows || c >= given.width) { return; }
  let at = row * given.width + c;
  if (given.again == 1u) { out[at] += value; } else { out[at] = value; }
}

/** out[r] (+)= Σ_j v[r, first + j]·b[list[first + j]]: [rows, width]. */
@compute @workgroup_size(T * T)
fn rebuild(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  let row_tiles = (given.rows + DOWN - 1u) / DOWN;
  let first_row = number % row_tiles * DOWN;
  let first_column = number / row_tiles * ACROSS;
  if (first_column >= given.width) { return; }
  let tx = thread % T;
  let ty = thread / T;
  var acc: array<vec4f, R * Q>;
  for (var k = 0u; k < given.columns; k += STEP) {
    let ar = thread / 2u;
    let ak = k + thread % 2u * 4u;
    var av = vec4f();
    if (first_row + ar < given.rows && ak < given.columns) { av = v[((first_row + ar) * given.stride + given.first + ak) / 4u]; }
    a_tile[ar * 3u + thread % 2u] = av;
    let bk = k + thread / ACROSS;
    let c = first_column + thread % ACROSS;
    var bv = vec4f();
    if (bk < given.columns && c < given.width) {
      let f = list[given.first + bk];
      if (f != NONE) { bv = b[(f - given.base) * given.width + c]; }
    }
    b_tile[thread] = bv;
    workgroupBarrier();
    for (var s = 0u; s < STEP / 4u; s++) {
      var x: array<vec4f, R>;
      for (var i = 0u; i < R; i++) { x[i] = a_tile[(ty + T * i) * 3u + s]; }
      for (var j = 0u; j < Q; j++) {
        let at = 4u * s * ACROSS + tx + T * j;
        let y0 = b_tile[at];
        let y1 = b_tile[at + ACROSS];
        let y2 = b_tile[at + 2u * ACROSS];
        let y3 = b_tile[at + 3u * ACROSS];
        for (var i = 0u; i < R; i++) {
          acc[i * Q + j] = fma(vec4f(x[i].w), y3, fma(vec4f(x[i].z), y2, fma(vec4f(x[i].y), y1, fma(vec4f(x[i].x), y0, acc[i * Q + j]))));
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < R; i++) {
    for (var j = 0u; j < Q; j++) { store(first_row + ty + T * i, first_column + tx + T * j, acc[i * Q + j], given.rows); }
  }
}

/** out[j] (+)= Σ_r v[r, first + j]·b[from_row + r]: [columns, width]. */
@compute @workgroup_size(T * T)
fn outer(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  let row_tiles = (given.columns + DOWN - 1u) / DOWN;
  let first_row = number % row_tiles * DOWN;
  let first_column = number / row_tiles * ACROSS;
  if (first_column >= given.width) { return; }
  let tx = thread % T;
  let ty = thread / T;
  var acc: array<vec4f, R * Q>;
  for (var k = 0u; k < given.rows; k += STEP) {
    let r = k + thread / ACROSS;
    let a = first_row + thread % ACROSS * 4u;
    let c = first_column + thread % ACROSS;
    var av = vec4f();
    var bv = vec4f();
    if (r < given.rows && a < given.columns) { av = v[(r * given.stride + given.first + a) / 4u]; }
    if (r < given.rows && c < given.width) { bv = b[(given.from_row + r) * given.width + c]; }
    a_tile[thread] = av;
    b_tile[thread] = bv;
    workgroupBarrier();
    for (var s = 0u; s < STEP; s++) {
      for (var i = 0u; i < R / 4u; i++) {
        let x = a_tile[s * ACROSS + T * i + ty];
        for (var j = 0u; j < Q; j++) {
          let y = b_tile[s * ACROSS + tx + T * j];
          let at = 4u * i * Q + j;
          acc[at] = fma(vec4f(x.x), y, acc[at]);
          acc[at + Q] = fma(vec4f(x.y), y, acc[at + Q]);
          acc[at + 2u * Q] = fma(vec4f(x.z), y, acc[at + 2u * Q]);
          acc[at + 3u * Q] = fma(vec4f(x.w), y, acc[at + 3u * Q]);
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < R; i++) {
    let row = first_row + i / 4u * 4u * T + ty * 4u + i % 4u;
    for (var j = 0u; j < Q; j++) { store(row, first_column + tx + T * j, acc[i * Q + j], given.columns); }
  }
}
