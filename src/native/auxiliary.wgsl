// AuxK: dead latents alone rebuild the residual of the others, a constant here (auxk.ts). So many of them take part in each row that
// dense products (dense.wgsl) are faster than gathering. v, g [rows, stride]: as `list`, the dead latents' numbers with empty places
// between the tiles of W_dec.
//
//   error = 2s/V · (v·W_dec[dead] + r)     r = ŷ − y     loss = s·Σ‖…‖²/V     ∂W_dec[dead] = vᵀ·error     ∂W_enc[dead] = gᵀ·x
//
// Given as constants: W4 (width in fours), LEVELS, MAIN (the level whose residual it is), WEIGHTS, THREADS.
struct Given { rows: u32, from_row: u32, stride: u32, again: u32, scale: f32 } // 1 to add to what is there; s
struct Latent { start: u32, count: u32, g: f32, along: f32 }
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> list: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<storage, read> e: array<vec4f>; // [n, LEVELS, width], of the main loss
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read_write> row_sums: array<f32>; // [n]
@group(0) @binding(6) var<storage, read> g: array<f32>;
@group(0) @binding(7) var<storage, read> v: array<f32>;
@group(0) @binding(8) var<storage, read_write> sums: array<vec2f>; // [stride]: Σ g, Σ v·g
@group(0) @binding(9) var<storage, read_write> latents: array<Latent>;

const NONE = 0xffffffffu;
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
    sum += vec2f(g[at], v[at] * g[at]);
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
