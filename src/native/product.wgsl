// Products of rows with rows: out[r, first + c] = a[from + r]·b[c], both row-major, r < rows, c < columns. Of the encoder plus its
// bias; of the auxiliary loss' gradient only where what it belongs to is above 0.
//
// A workgroup of T × T threads makes TILE × TILE outputs, a thread R × R of them, which lie T apart: neighbouring threads then read
// neighbouring rows of the tiles, whose stride is odd, and no two of them the same bank. 2·R loads of four numbers feed 4·R·R
// multiplications; the next part of the tiles is fetched while one is multiplied. Each sum runs over the width in order, whatever T is.
// T = 16 gives tiles of 128 × 128.
//
// Row tiles are the inner index of workgroups: those at work together read the same part of b, which is the larger matrix.
//
// Given as constants: W4 (width in fours), T, LISTED (c is a place in `list`, whose latents' rows of b are meant), GATED.
struct Given {
  rows: u32, from_row: u32, columns: u32, first: u32, // of `out`, and of `list`
  stride: u32, base: u32, // of `out`; the latent of b's first row
}
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> other: array<f32>; // [F] bias; GATED: as `out`
@group(0) @binding(4) var<storage, read> list: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

const R = T / 2u;
const TILE = T * R;
const STEP = 2u; // fours of the width at a time: T·T = STEP·TILE, each thread loads one of each tile
const STRIDE = STEP + 1u;
const NONE = 0xffffffffu; // a place in the list that is empty
const LEAST = -3.4e38;

var<workgroup> a_tile: array<vec4f, TILE * STRIDE>;
var<workgroup> b_tile: array<vec4f, TILE * STRIDE>;

fn latent(c: u32) -> u32 {
  if (LISTED) { return list[given.first + c]; }
  return given.base + c;
}

@compute @workgroup_size(T * T)
fn product(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  let row_tiles = (given.rows + TILE - 1u) / TILE;
  let first_row = number % row_tiles * TILE;
  let first_column = number / row_tiles * TILE;
  if (first_column >= given.columns) { return; }
  let tx = thread % T;
  let ty = thread / T;

  let mine = thread / STEP; // the row of both tiles that this thread loads
  let part = thread % STEP;
  let loads_a = first_row + mine < given.rows;
  var loads_b = first_column + mine < given.columns;
  let a_at = (given.from_row + first_row + mine) * W4;
  var b_at = 0u;
  if (loads_b) {
    let f = latent(first_column + mine);
    loads_b = f != NONE;
    b_at = (f - given.base) * W4;
  }
  var next_a = vec4f();
  var next_b = vec4f();
  if (loads_a && part < W4) { next_a = a[a_at + part]; }
  if (loads_b && part < W4) { next_b = b[b_at + part]; }

  var sums: array<f32, R * R>;
  for (var k = 0u; k < W4; k += STEP) {
    a_tile[mine * STRIDE + part] = next_a;
    b_tile[mine * STRIDE + part] = next_b;
    workgroupBarrier();
    let next = k + STEP + part;
    next_a = vec4f();
    next_b = vec4f();
    if (loads_a && next < W4) { next_a = a[a_at + next]; }
    if (loads_b && next < W4) { next_b = b[b_at + next]; }
    for (var s = 0u; s < STEP; s++) {
      var x: array<vec4f, R>;
      for (var i = 0u; i < R; i++) { x[i] = a_tile[(ty + T * i) * STRIDE + s]; }
      for (var j = 0u; j < R; j++) {
        let y = b_tile[(tx + T * j) * STRIDE + s];
        for (var i = 0u; i < R; i++) {
          sums[i * R + j] = fma(x[i].w, y.w, fma(x[i].z, y.z, fma(x[i].y, y.y, fma(x[i].x, y.x, sums[i * R + j]))));
        }
      }
    }
    workgroupBarrier();
  }

  for (var j = 0u; j < R; j++) {
    let c = first_column + tx + T * j;
    if (c >= given.columns) { continue; }
    let f = latent(c);
    var bias = 0.0;
    if (!GATED && f != NONE) { bias = other[f]; }
    for (var i = 0u; i < R; i++) {
      let r = first_row + ty + T * i;
      if (r >= given.rows) { continue; }
      let at = r * given.stride + given.first + c;
      var value = sums[i * R + j] + bias;
      if (f == NONE) { value = LEAST; }
      if (GATED && !(f != NONE && other[at] > 0.0)) { value = 0.0; }
      out[at] = value;
    }
  }
}
