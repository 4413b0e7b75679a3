// The pairs of a batch with v > 0, by latent: tally, allot, fill, order, in that order. A latent's pairs lie in one piece of the list;
// where the piece lies may differ from run to run, the order in it may not: by row, so that sums over it have the same bits.
//
// Given as constants: LEVELS, FIRES (places of a row that count as firing), THREADS, LANES; and level_of.
struct Given { rows: u32, columns: u32, latents: u32, counted: u32 } // counted: 1 where silence is
struct Latent { start: u32, count: u32, g: f32, along: f32 } // of the list; Σ g = ∂b_enc, Σ v·g
struct Pair { row: u32, level: u32, v: f32, g: f32 }
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read> values: array<f32>; // [n, columns]
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<atomic<u32>>; // [F + 1]: 0 before and after; the last is the list's length
@group(0) @binding(5) var<storage, read_write> latents: array<Latent>; // [F]
@group(0) @binding(6) var<storage, read_write> unordered: array<u32>; // numbers of pairs, row·columns + place
@group(0) @binding(7) var<storage, read_write> pairs: array<Pair>;
@group(0) @binding(8) var<storage, read_write> silent: array<u32>; // [F] updates since the latent fired, of those counted

var<workgroup> sums: array<u32, THREADS>;
var<workgroup> base: u32;

@compute @workgroup_size(THREADS)
fn tally(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let pair = (group.x + group.y * groups.x) * THREADS + thread;
  if (pair < given.rows * given.columns && values[pair] > 0.0) { atomicAdd(&counts[indices[pair]], 1u); }
}

@compute @workgroup_size(THREADS)
fn allot(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let f = (group.x + group.y * groups.x) * THREADS + thread;
  var count = 0u;
  if (f < given.latents) {
    count = atomicLoad(&counts[f]);
    atomicStore(&counts[f], 0u); // fill counts again
  }
  sums[thread] = count;
  workgroupBarrier();
  for (var reach = 1u; reach < THREADS; reach *= 2u) {
    var more = 0u;
    if (thread >= reach) { more = sums[thread - reach]; }
    workgroupBarrier();
    sums[thread] += more;
    workgroupBarrier();
  }
  if (thread == THREADS - 1u) { base = atomicAdd(&counts[given.latents], sums[thread]); }
  workgroupBarrier();
  if (f < given.latents) { latents[f] = Latent(base + sums[thread] - count, count, 0.0, 0.0); }
}

@compute @workgroup_size(THREADS)
fn fill(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let pair = (group.x + group.y * groups.x) * THREADS + thread;
  if (pair < given.rows * given.columns && values[pair] > 0.0) {
    let f = indices[pair];
    unordered[latents[f].start + atomicAdd(&counts[f], 1u)] = pair;
  }
}

// A row has a latent once at most. Few pairs are ranked by counting; many by a bit for each row, as many rows at a time as fit.
const WORDS = 16u * LANES;
const OWN = WORDS / LANES;
var<workgroup> bits: array<atomic<u32>, WORDS>;
var<workgroup> before: array<u32, WORDS>; // bits in the words before
var<workgroup> some: array<u32, LANES>;
var<workgroup> here: vec2u;
var<workgroup> parts: array<vec3f, LANES>;

fn put(pair: u32, f: u32, at: u32) {
  let row = pair / given.columns;
  pairs[at] = Pair(row, level_of(pair - row * given.columns, f), values[pair], g[pair]);
}

/** A workgroup a latent. */
@compute @workgroup_size(LANES)
fn order(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let f = group.x + group.y * groups.x;
  if (f >= given.latents) { return; }
  if (thread == 0u) {
    here = vec2u(latents[f].start, latents[f].count);
    atomicStore(&counts[f], 0u);
    if (f == 0u) { atomicStore(&counts[given.latents], 0u); }
  }
  let piece = workgroupUniformLoad(&here);
  let start = piece.x;
  let count = piece.y;
  if (count <= LANES) {
    if (thread < count) { some[thread] = unordered[start + thread]; }
    workgroupBarrier();
    if (thread < count) {
      var rank = 0u;
      for (var q = 0u; q < count; q++) { rank += u32(some[q] < some[thread]); }
      put(some[thread], f, start + rank);
    }
  } else {
    var done = 0u;
    for (var first = 0u; first < given.rows; first += 32u * WORDS) {
      for (var w = thread; w < WORDS; w += LANES) { atomicStore(&bits[w], 0u); }
      workgroupBarrier();
      for (var p = thread; p < count; p += LANES) {
        let row = unordered[start + p] / given.columns;
        if (row >= first && row - first < 32u * WORDS) { atomicOr(&bits[(row - first) / 32u], 1u << ((row - first) % 32u)); }
      }
      workgroupBarrier();
      var sum = 0u;
      for (var w = thread * OWN; w < (thread + 1u) * OWN; w++) { sum += countOneBits(atomicLoad(&bits[w])); }
      some[thread] = sum;
      workgroupBarrier();
      for (var reach = 1u; reach < LANES; reach *= 2u) {
        var more = 0u;
        if (thread >= reach) { more = some[thread - reach]; }
        workgroupBarrier();
        some[thread] += more;
        workgroupBarrier();
      }
      var running = some[thread] - sum;
      for (var w = thread * OWN; w < (thread + 1u) * OWN; w++) {
        before[w] = running;
        running += countOneBits(atomicLoad(&bits[w]));
      }
      workgroupBarrier();
      for (var p = thread; p < count; p += LANES) {
        let pair = unordered[start + p];
        let row = pair / given.columns;
        if (row >= first && row - first < 32u * WORDS) {
          let w = (row - first) / 32u;
          let earlier = (1u << ((row - first) % 32u)) - 1u;
          put(pair, f, start + done + before[w] + countOneBits(atomicLoad(&bits[w]) & earlier));
        }
      }
      workgroupBarrier();
      done += some[LANES - 1u];
      workgroupBarrier();
    }
  }
  storageBarrier();
  var own = vec3f(); // Σ g, Σ v·g, whether it fires
  for (var p = thread; p < count; p += LANES) {
    let pair = pairs[start + p];
    own += vec3f(pair.g, pair.v * pair.g, 0.0);
  }
  for (var p = thread; p < count; p += LANES) {
    let pair = unordered[start + p];
    if (pair % given.columns < FIRES) { own.z = 1.0; }
  }
  parts[thread] = own;
  workgroupBarrier();
  for (var reach = LANES / 2u; reach > 0u; reach /= 2u) {
    if (thread < reach) { parts[thread] += parts[thread + reach]; }
    workgroupBarrier();
  }
  if (thread == 0u) {
    latents[f].g = parts[0].x;
    latents[f].along = parts[0].y;
    if (given.counted == 1u) { silent[f] = select(silent[f] + 1u, 0u, parts[0].z > 0.0); }
  }
}
