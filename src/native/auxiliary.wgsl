// AuxK: dead latents alone rebuild the residual of the others, a constant here (auxk.ts). So many of them take part in each row that
// dense products are faster than gathering. v, g [rows, stride]: as `list`, the dead latents' numbers with empty places between the
// tiles of W_dec; in `rebuild` and `outer`, `columns` of them from `first` on are of one tile.
//
//   error = 2s/V · (v·W_dec[dead] + r)     r = ŷ − y     loss = s·Σ‖…‖²/V     ∂W_dec[dead] = vᵀ·error     ∂W_enc[dead] = gᵀ·x
//
// Given as constants: W4 (width in fours), LEVELS, MAIN (the level whose residual it is), WEIGHTS, T (threads each way in
// products, 8 or 16), THREADS.
struct Given {
  rows: u32, from_row: u32, columns: u32, first: u32, stride: u32,
  base: u32, again: u32, scale: f32, slot: u32, // the tile's first latent; 1 to add to what is there; s
}
struct Latent { start: u32, count: u32, g: f32, along: f32 }
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> v: array<vec4f>; // [rows, stride / 4]
@group(0) @binding(2) var<storage, read> b: array<vec4f>; // rows of the tile of W_dec; of outer: error [rows, width], or x
@group(0) @binding(3) var<storage, read> list: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(5) var<storage, read> e: array<vec4f>; // [n, LEVELS, width], of the main loss
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> row_sums: array<f32>; // [n]
@group(0) @binding(8) var<storage, read> g: array<f32>; // as v
@group(0) @binding(9) var<storage, read> v_flat: array<f32>;
@group(0) @binding(10) var<storage, read_write> sums: array<vec2f>; // [stride]: Σ g, Σ v·g
@group(0) @binding(11) var<storage, read_write> latents: array<Latent>;

const NONE = 0xffffffffu;
const R = T / 2u; // outputs of a thread downwards
const Q = T / 8u; // fours of them to the right
const DOWN = T * R;
const ACROSS = T * Q; // fours
const STEP = 8u; // T·T = STEP·ACROSS = 2·DOWN: each thread loads four numbers of each tile
var<workgroup> a_tile: array<vec4f, 3u * DOWN>; // rebuild: [DOWN, 2 + 1] along the latents; outer: [STEP, DOWN / 4]
var<workgroup> b_tile: array<vec4f, STEP * ACROSS>; // [STEP, ACROSS]

fn stores(i: u32, j: u32, row: u32, c: u32, value: vec4f, rows: u32) {
  if (row >= rows || c >= W4) { return; }
  let at = row * W4 + c;
  if (given.again == 1u) { out[at] += value; } else { out[at] = value; }
}

/** out[r] (+)= Σ_j v[r, first + j]·b[list[first + j]]: [rows, width]. */
@compute @workgroup_size(T * T)
fn rebuild(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  let row_tiles = (given.rows + DOWN - 1u) / DOWN;
  let first_row = number % row_tiles * DOWN;
  let first_column = number / row_tiles * ACROSS;
  if (first_column >= W4) { return; }
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
    if (bk < given.columns && c < W4) {
      let f = list[given.first + bk];
      if (f != NONE) { bv = b[(f - given.base) * W4 + c]; }
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
    for (var j = 0u; j < Q; j++) { stores(i, j, first_row + ty + T * i, first_column + tx + T * j, acc[i * Q + j], given.rows); }
  }
}

/** out[j] (+)= Σ_r v[r, first + j]·b[from_row + r]: [columns, width]. */
@compute @workgroup_size(T * T)
fn outer(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  let row_tiles = (given.columns + DOWN - 1u) / DOWN;
  let first_row = number % row_tiles * DOWN;
  let first_column = number / row_tiles * ACROSS;
  if (first_column >= W4) { return; }
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
    if (r < given.rows && c < W4) { bv = b[(given.from_row + r) * W4 + c]; }
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
    for (var j = 0u; j < Q; j++) { stores(i, j, row, first_column + tx + T * j, acc[i * Q + j], given.columns); }
  }
}

var<workgroup> parts: array<f32, THREADS>;

/** out = 2s/V·(out + r), and the row's part of the loss; a workgroup a row. */
@compute @workgroup_size(THREADS)
fn residual(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.x + group.y * groups.x;
  if (r >= given.rows) { return; }
  let n = given.from_row + r;
  let variance = stats[0];
  var weights = WEIGHTS;
  let back = variance / (2.0 * weights[MAIN]);
  var square = 0.0;
  for (var c = thread; c < W4; c += THREADS) {
    var own = e[(n * LEVELS + MAIN) * W4 + c];
    if (MAIN + 1u < LEVELS) { own -= e[(n * LEVELS + min(MAIN + 1u, LEVELS - 1u)) * W4 + c]; }
    let error = out[r * W4 + c] + own * back;
    square += dot(error, error);
    out[r * W4 + c] = error * (2.0 * given.scale / variance);
  }
  parts[thread] = square * given.scale;
  workgroupBarrier();
  for (var reach = THREADS / 2u; reach > 0u; reach /= 2u) {
    if (thread < reach) { parts[thread] += parts[thread + reach]; }
    workgroupBarrier();
  }
  if (thread == 0u) { row_sums[n] = parts[0]; }
}

/** sums (+)= Σ over rows of g and of v·g; a thread a column. */
@compute @workgroup_size(THREADS)
fn column_sums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let c = (group.x + group.y * groups.x) * THREADS + thread;
  if (c >= given.stride) { return; }
  var sum = vec2f();
  if (given.again == 1u) { sum = sums[c]; }
  for (var r = 0u; r < given.rows; r++) {
    let at = r * given.stride + c;
    sum += vec2f(g[at], v_flat[at] * g[at]);
  }
  sums[c] = sum;
}

/** Adds them to what the main loss gave. */
@compute @workgroup_size(THREADS)
fn join(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let c = (group.x + group.y * groups.x) * THREADS + thread;
  if (c >= given.stride || list[c] == NONE) { return; }
  latents[list[c]].g += sums[c].x;
  latents[list[c]].along += sums[c].y;
}
