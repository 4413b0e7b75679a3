// The update of a matrix' rows, a workgroup a latent f of a tile: of W_dec (DECODER) or of W_enc. The sum goes over the latent's pairs.
//
//   ∂W_dec[f] = Σ v·e + what the auxiliary loss gives − (Σ v·g)·W_dec[f]     ∂W_enc[f] = Σ g·x + what the auxiliary loss gives
//   m ← β₁m + (1 − β₁)∂    w ← β₂w + (1 − β₂)∂²    θ ← θ − lr/(1 − β₁ᵗ) · m / (√w/√(1 − β₂ᵗ) + ε)
//
// Rows of W_dec go back to unit norm. `gradient` writes ∂ alone, without the projection.
//
// Given as constants: W4 (width in fours), LEVELS (of `rows`: of x 1), DECODER, THREADS.
struct Given { first: u32, latents: u32, rate: f32, root: f32, dead: u32 } // lr/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ), latents of the auxiliary loss
struct Latent { start: u32, count: u32, g: f32, along: f32 }
struct Pair { row: u32, level: u32, v: f32, g: f32 }
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> latents: array<Latent>; // [F]
@group(0) @binding(2) var<storage, read> pairs: array<Pair>;
@group(0) @binding(3) var<storage, read> rows: array<vec4f>; // e [n, LEVELS, width], or x [n, width]
@group(0) @binding(4) var<storage, read_write> weights: array<vec4f>; // of the tile, as the next two
@group(0) @binding(5) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(7) var<storage, read> auxiliary: array<vec4f>; // its gradients of the tile's dead latents
@group(0) @binding(8) var<storage, read> places: array<u32>; // [F]: which of these is a latent's, from 1; 0 for none
@group(0) @binding(9) var<storage, read_write> out: array<vec4f>;

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;
const TINY = 1e-30; // a row of zeros stays one
var<workgroup> parts: array<f32, THREADS>;

fn gradient_at(f: u32, c: u32) -> vec4f {
  let start = latents[f].start;
  let count = latents[f].count;
  var sum = vec4f();
  for (var p = start; p < start + count; p++) {
    let pair = pairs[p];
    if (DECODER) {
      sum = fma(vec4f(pair.v), rows[(pair.row * LEVELS + pair.level) * W4 + c], sum);
    } else {
      sum = fma(vec4f(pair.g), rows[pair.row * W4 + c], sum);
    }
  }
  if (given.dead > 0u) {
    let place = places[f];
    if (place > 0u) { sum += auxiliary[(place - 1u) * W4 + c]; }
  }
  return sum;
}

@compute @workgroup_size(THREADS)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  if (number >= given.latents) { return; }
  let f = given.first + number;
  var square = 0.0;
  for (var c = thread; c < W4; c += THREADS) {
    let at = number * W4 + c;
    let before = weights[at];
    var sum = gradient_at(f, c);
    if (DECODER) { sum -= latents[f].along * before; }
    let m_now = BETA1 * m[at] + (1.0 - BETA1) * sum;
    let w_now = BETA2 * w[at] + (1.0 - BETA2) * (sum * sum);
    m[at] = m_now;
    w[at] = w_now;
    let now = before - given.rate * (m_now / (sqrt(w_now) * given.root + EPSILON));
    weights[at] = now;
    square += dot(now, now);
  }
  if (DECODER) {
    parts[thread] = square;
    workgroupBarrier();
    for (var reach = THREADS / 2u; reach > 0u; reach /= 2u) {
      if (thread < reach) { parts[thread] += parts[thread + reach]; }
      workgroupBarrier();
    }
    let scale = 1.0 / sqrt(parts[0] + TINY);
    for (var c = thread; c < W4; c += THREADS) { weights[number * W4 + c] *= scale; }
  }
}

@compute @workgroup_size(THREADS)
fn gradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = group.x + group.y * groups.x;
  if (number >= given.latents) { return; }
  for (var c = thread; c < W4; c += THREADS) { out[number * W4 + c] = gradient_at(given.first + number, c); }
}
