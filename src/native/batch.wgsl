// What is small beside the matrices: x − b_dec, the batch's variance, losses, and the biases' update. Sums go over blocks of rows or
// latents first and over the blocks then, both in order.
//
// Given as constants: W4 (width in fours), THREADS, LANES.
struct Given {
  rows: u32, stride: u32, block: u32, from_block: u32, // stride in fours, or numbers
  slot: u32, count: u32, rate: f32, root: f32, tied: u32, first: u32,
}
struct Latent { start: u32, count: u32, g: f32, along: f32 }
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // rows [n, stride]
@group(0) @binding(2) var<storage, read> row: array<vec4f>; // [width]: b_dec, or a mean
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<storage, read> numbers: array<f32>;
@group(0) @binding(6) var<storage, read> latents: array<Latent>;
@group(0) @binding(7) var<storage, read_write> state: array<vec4f>; // a bias, its m, its w, one behind the other
@group(0) @binding(8) var<storage, read> stats: array<f32>; // V, Σ of the auxiliary errors' squares times its share of the loss / V

var<workgroup> parts: array<f32, THREADS>;

/** out = x − row, of [rows, width]. */
@compute @workgroup_size(THREADS)
fn centre(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let at = (group.x + group.y * groups.x) * THREADS + thread;
  if (at < given.rows * W4) { out[at] = x[at] - row[at % W4]; }
}

const COLUMNS = (W4 + LANES - 1u) / LANES; // workgroups that share a block

/** out[block] = Σ over the block's rows. */
@compute @workgroup_size(LANES)
fn block_sums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  let block = number / COLUMNS;
  let c = number % COLUMNS * LANES + thread;
  if (block * given.block >= given.rows || c >= W4) { return; }
  var sum = vec4f();
  for (var r = block * given.block; r < min(given.rows, (block + 1u) * given.block); r++) { sum += x[r * given.stride + c]; }
  out[block * W4 + c] = sum;
}

/** out[from_block + block] = Σ ∂b_enc[f]·W_enc[f] over the block's latents: x is a tile of W_enc whose first latent is `first`. */
@compute @workgroup_size(LANES)
fn through(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  let block = number / COLUMNS;
  let c = number % COLUMNS * LANES + thread;
  if (block * given.block >= given.rows || c >= W4) { return; }
  var sum = vec4f();
  for (var f = block * given.block; f < min(given.rows, (block + 1u) * given.block); f++) {
    let g = latents[given.first + f].g;
    if (g != 0.0) { sum = fma(vec4f(g), x[f * W4 + c], sum); }
  }
  out[(given.from_block + block) * W4 + c] = sum;
}

/** out = Σ of the blocks / rows. */
@compute @workgroup_size(LANES)
fn mean(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let c = group.x * LANES + thread;
  if (c >= W4) { return; }
  var sum = vec4f();
  for (var b = 0u; b < given.count; b++) { sum += x[b * W4 + c]; }
  out[c] = sum / f32(given.rows);
}

fn total(thread: u32, part: f32) -> f32 {
  parts[thread] = part;
  workgroupBarrier();
  for (var reach = THREADS / 2u; reach > 0u; reach /= 2u) {
    if (thread < reach) { parts[thread] += parts[thread + reach]; }
    workgroupBarrier();
  }
  let sum = parts[0];
  workgroupBarrier();
  return sum;
}

/** sums[r] = ‖x_r − row‖². */
@compute @workgroup_size(THREADS)
fn squares(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.x + group.y * groups.x;
  if (r >= given.rows) { return; }
  var part = 0.0;
  for (var c = thread; c < W4; c += THREADS) {
    let difference = x[r * W4 + c] - row[c];
    part += dot(difference, difference);
  }
  let sum = total(thread, part);
  if (thread == 0u) { sums[r] = sum; }
}

/** sums[slot + i] = Σ_r numbers[r, i], of [rows, stride]; the first `count` of them divided by V. */
@compute @workgroup_size(THREADS)
fn totals(@builtin(local_invocation_index) thread: u32) {
  for (var i = 0u; i < given.stride; i++) {
    var part = 0.0;
    for (var r = thread; r < given.rows; r += THREADS) { part += numbers[r * given.stride + i]; }
    var sum = total(thread, part);
    if (i < given.count) { sum /= stats[0]; }
    if (thread == 0u) { sums[given.slot + i] = sum; }
  }
}

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** What moves a bias whose gradient is given; `at` in fours of `size`. */
fn adam(at: u32, size: u32, gradient: vec4f) {
  let m = BETA1 * state[size + at] + (1.0 - BETA1) * gradient;
  let w = BETA2 * state[2u * size + at] + (1.0 - BETA2) * (gradient * gradient);
  state[size + at] = m;
  state[2u * size + at] = w;
  state[at] -= given.rate * (m / (sqrt(w) * given.root + EPSILON));
}

fn b_dec_gradient(c: u32) -> vec4f {
  var sum = vec4f();
  for (var b = 0u; b < given.rows; b++) { sum += x[b * W4 + c]; }
  var back = vec4f();
  if (given.tied == 1u) {
    for (var b = 0u; b < given.count; b++) { back += row[b * W4 + c]; }
  }
  return sum - back;
}

/** x has the blocks' sums of e [rows], `row` those of `through` [count]. */
@compute @workgroup_size(LANES)
fn b_dec(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let c = group.x * LANES + thread;
  if (c < W4) { adam(c, W4, b_dec_gradient(c)); }
}

@compute @workgroup_size(LANES)
fn b_dec_alone(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let c = group.x * LANES + thread;
  if (c < W4) { out[c] = b_dec_gradient(c); }
}

/** `count` fours of latents, `rows` latents. */
@compute @workgroup_size(THREADS)
fn b_enc(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let at = (group.x + group.y * groups.x) * THREADS + thread;
  if (at >= given.count) { return; }
  var gradient = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (4u * at + i < given.rows) {
      let g = latents[4u * at + i].g;
      if (i == 0u) { gradient.x = g; } else if (i == 1u) { gradient.y = g; } else if (i == 2u) { gradient.z = g; } else { gradient.w = g; }
    }
  }
  adam(at, given.count, gradient);
}
