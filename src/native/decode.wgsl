// From the chosen latents of a row to what their gradients are made of, a workgroup a row. A pair is a row and one of its latents.
//
//   r_l = Σ_{level_j ≤ l} v_j·W_dec[i_j] + b_dec − y     FVU_l = Σ_b ‖r_l‖²/V     loss = Σ_l w_l·FVU_l
//   e_l = 2/V · Σ_{m ≥ l} w_m·r_m     g_j = e_l·W_dec[i_j] where v_j > 0, l the pair's level
//
// W_dec lies in tiles of latents: `decode` and `products` are run once a tile, and meet the pairs that are in it.
//
// Given as constants: W4 (width in fours), LEVELS, WEIGHTS (w_l), FIRES (places of a row that count as firing), THREADS; and level_of.
struct Given { rows: u32, columns: u32, first: u32, latents: u32 } // pairs a row; the tile
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> values: array<f32>; // [n, columns]
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> w_dec: array<vec4f>; // of the tile
@group(0) @binding(4) var<storage, read_write> e: array<vec4f>; // [n, LEVELS, width]: first each level's own part, then r, then e
@group(0) @binding(5) var<storage, read_write> g: array<f32>; // [n, columns]
@group(0) @binding(6) var<storage, read> y: array<vec4f>;
@group(0) @binding(7) var<storage, read> b_dec: array<vec4f>;
@group(0) @binding(8) var<storage, read> stats: array<f32>; // V
@group(0) @binding(9) var<storage, read_write> row_sums: array<f32>; // [n, LEVELS + 1]: ‖r_l‖², then latents that fire

var<workgroup> value: array<f32, THREADS>;
var<workgroup> latent: array<u32, THREADS>;
var<workgroup> level: array<u32, THREADS>;
var<workgroup> parts: array<f32, THREADS>;

/** Σ over the threads, for thread 0. */
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

@compute @workgroup_size(THREADS)
fn decode(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= given.rows) { return; }
  for (var from_place = 0u; from_place < given.columns; from_place += THREADS) {
    let count = min(THREADS, given.columns - from_place);
    workgroupBarrier();
    if (thread < count) {
      let at = row * given.columns + from_place + thread;
      let f = indices[at];
      let here = f >= given.first && f - given.first < given.latents && values[at] != 0.0; // NaN takes part: the loss shows it
      value[thread] = values[at];
      latent[thread] = f - given.first;
      level[thread] = select(LEVELS, level_of(from_place + thread, f), here);
    }
    workgroupBarrier();
    for (var c = thread; c < W4; c += THREADS) {
      for (var l = 0u; l < LEVELS; l++) {
        let at = (row * LEVELS + l) * W4 + c;
        var sum = vec4f();
        if (given.first > 0u || from_place > 0u) { sum = e[at]; }
        for (var p = 0u; p < count; p++) {
          if (level[p] == l) { sum = fma(vec4f(value[p]), w_dec[latent[p] * W4 + c], sum); }
        }
        e[at] = sum;
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn errors(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= given.rows) { return; }
  let scale = 2.0 / stats[0];
  var weights = WEIGHTS;
  var squares: array<f32, LEVELS>;
  for (var c = thread; c < W4; c += THREADS) {
    var r = b_dec[c] - y[row * W4 + c];
    for (var l = 0u; l < LEVELS; l++) {
      let at = (row * LEVELS + l) * W4 + c;
      r += e[at];
      e[at] = r;
      squares[l] += dot(r, r);
    }
    var behind = vec4f();
    for (var l = LEVELS; l > 0u; l--) {
      let at = (row * LEVELS + l - 1u) * W4 + c;
      behind += e[at] * weights[l - 1u];
      e[at] = behind * scale;
    }
  }
  for (var l = 0u; l < LEVELS; l++) {
    let sum = total(thread, squares[l]);
    if (thread == 0u) { row_sums[row * (LEVELS + 1u) + l] = sum; }
  }
  var fires = 0.0;
  for (var p = thread; p < min(FIRES, given.columns); p += THREADS) { fires += f32(values[row * given.columns + p] > 0.0); }
  let sum = total(thread, fires);
  if (thread == 0u) { row_sums[row * (LEVELS + 1u) + LEVELS] = sum; }
}

const LANES = min(32u, THREADS); // threads that make one of the products together
const TEAMS = THREADS / LANES;

@compute @workgroup_size(THREADS)
fn products(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= given.rows) { return; }
  let lane = thread % LANES;
  for (var from_place = 0u; from_place < given.columns; from_place += TEAMS) {
    let place = from_place + thread / LANES;
    let at = row * given.columns + place;
    var here = false;
    var sum = 0.0;
    if (place < given.columns) {
      let f = indices[at];
      here = f >= given.first && f - given.first < given.latents;
      if (here && values[at] > 0.0) {
        let from_weight = (f - given.first) * W4;
        let from_error = (row * LEVELS + level_of(place, f)) * W4;
        for (var c = lane; c < W4; c += LANES) { sum += dot(e[from_error + c], w_dec[from_weight + c]); }
      }
    }
    parts[thread] = sum;
    workgroupBarrier();
    for (var reach = LANES / 2u; reach > 0u; reach /= 2u) {
      if (lane < reach) { parts[thread] += parts[thread + reach]; }
      workgroupBarrier();
    }
    if (lane == 0u && here) { g[at] = parts[thread]; }
    workgroupBarrier();
  }
}
