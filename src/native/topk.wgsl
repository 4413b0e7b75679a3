// What a row lets through, a workgroup a row: pre [rows, stride], of which `columns` count.
//
// The k largest are exact. Floats are compared as unsigned integers of the same order (−0 is 0). The k-th largest key is found 11, 11
// and 10 bits at a time: keys that agree in what is known already are counted by their next bits, and the bin is taken that has the one
// looked for. It ends early where all of a bin are taken. Of keys that equal the k-th, those of the smallest columns are taken.
//
// Given as constants: THREADS, which divides 1024.
struct Given { rows: u32, from_row: u32, columns: u32, stride: u32, k: u32 }
@group(0) @binding(0) var<uniform> given: Given;
@group(0) @binding(1) var<storage, read_write> pre: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>; // [n, k], after ReLU
@group(0) @binding(3) var<storage, read_write> indices: array<u32>; // [n, k]

const MOST = 1024u; // k, where they are put in order
var<workgroup> bins: array<atomic<u32>, 2048>; // later the chosen, unordered: key and column of each
var<workgroup> sums: array<u32, THREADS>;
var<workgroup> found: vec3u;
var<workgroup> chosen: atomic<u32>;

fn key_of(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

/** Keys above `key` within `mask` are taken, and those that equal it of columns below `end`. */
struct Bound { key: u32, mask: u32, end: u32 }

fn takes(bound: Bound, key: u32, column: u32) -> bool {
  let known = key & bound.mask;
  return known > bound.key || (known == bound.key && column < bound.end);
}

fn bound_of(start: u32, thread: u32) -> Bound {
  var bound = Bound(0u, 0u, given.columns);
  var left = given.k;
  var tied = 0u;
  for (var pass_ = 0u; pass_ < 3u; pass_++) {
    var shift = 21u;
    var size = 2048u;
    if (pass_ == 1u) { shift = 10u; }
    if (pass_ == 2u) { shift = 0u; size = 1024u; }
    for (var b = thread; b < size; b += THREADS) { atomicStore(&bins[b], 0u); }
    workgroupBarrier();
    for (var c = thread; c < given.columns; c += THREADS) {
      let key = key_of(pre[start + c]);
      if ((key & bound.mask) == bound.key) { atomicAdd(&bins[(key >> shift) & (size - 1u)], 1u); }
    }
    workgroupBarrier();
    // from the largest bin down: each thread has some neighbours
    let own = size / THREADS;
    let top = size - 1u - thread * own;
    var sum = 0u;
    for (var b = 0u; b < own; b++) { sum += atomicLoad(&bins[top - b]); }
    sums[thread] = sum;
    workgroupBarrier();
    for (var reach = 1u; reach < THREADS; reach *= 2u) {
      var more = 0u;
      if (thread >= reach) { more = sums[thread - reach]; }
      workgroupBarrier();
      sums[thread] += more;
      workgroupBarrier();
    }
    var before = sums[thread] - sum;
    if (before < left && before + sum >= left) {
      for (var b = 0u; b < own; b++) {
        let count = atomicLoad(&bins[top - b]);
        if (before + count >= left) {
          found = vec3u(top - b, before, count);
          break;
        }
        before += count;
      }
    }
    let bin = workgroupUniformLoad(&found);
    bound.key |= bin.x << shift;
    bound.mask |= (size - 1u) << shift;
    left -= bin.y;
    tied = bin.z;
    if (tied == left) { break; }
  }
  if (tied > left) { // the smallest column below which `left` of them are
    var low = 0u;
    var high = given.columns;
    while (high - low > 1u) {
      let middle = (low + high) / 2u;
      if (thread == 0u) { atomicStore(&bins[0], 0u); }
      workgroupBarrier();
      var count = 0u;
      for (var c = thread; c < middle; c += THREADS) { count += u32((key_of(pre[start + c]) & bound.mask) == bound.key); }
      atomicAdd(&bins[0], count);
      workgroupBarrier();
      if (thread == 0u) { found = vec3u(atomicLoad(&bins[0]), 0u, 0u); }
      if (workgroupUniformLoad(&found).x >= left) { high = middle; } else { low = middle; }
    }
    bound.end = high;
  }
  return bound;
}

/** Larger first, ties by smaller index; k ≤ MOST. */
@compute @workgroup_size(THREADS)
fn largest(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= given.rows) { return; }
  let start = row * given.stride;
  let bound = bound_of(start, thread);
  workgroupBarrier(); // the bins were read
  if (thread == 0u) { atomicStore(&chosen, 0u); }
  workgroupBarrier();
  for (var c = thread; c < given.columns; c += THREADS) {
    let key = key_of(pre[start + c]);
    if (takes(bound, key, c)) {
      let place = atomicAdd(&chosen, 1u);
      atomicStore(&bins[2u * place], key);
      atomicStore(&bins[2u * place + 1u], c);
    }
  }
  workgroupBarrier();
  let out = (given.from_row + row) * given.k;
  for (var p = thread; p < given.k; p += THREADS) {
    let key = atomicLoad(&bins[2u * p]);
    let c = atomicLoad(&bins[2u * p + 1u]);
    var rank = 0u;
    for (var q = 0u; q < given.k; q++) {
      let other = atomicLoad(&bins[2u * q]);
      rank += u32(other > key || (other == key && atomicLoad(&bins[2u * q + 1u]) < c));
    }
    let value = pre[start + c];
    values[out + rank] = select(value, 0.0, value <= 0.0); // NaN stays
    indices[out + rank] = c;
  }
}

/** In place: 0 but for the k largest, after ReLU. */
@compute @workgroup_size(THREADS)
fn keep(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= given.rows) { return; }
  let start = row * given.stride;
  let bound = bound_of(start, thread);
  for (var c = thread; c < given.columns; c += THREADS) {
    let value = pre[start + c];
    pre[start + c] = select(0.0, value, takes(bound, key_of(value), c) && !(value <= 0.0));
  }
}

/** The largest of each of k groups of neighbours, the first of equal ones. */
@compute @workgroup_size(THREADS)
fn groups_largest(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= given.rows) { return; }
  let size = given.columns / given.k;
  for (var g = 0u; g < given.k; g++) {
    let start = row * given.stride + g * size;
    var best = 0u; // the key of a NaN that is below −infinity
    var at = 0xffffffffu;
    for (var c = thread; c < size; c += THREADS) {
      let key = key_of(pre[start + c]);
      if (key > best || at == 0xffffffffu) {
        best = key;
        at = c;
      }
    }
    atomicStore(&bins[thread], best);
    sums[thread] = at;
    workgroupBarrier();
    for (var reach = THREADS / 2u; reach > 0u; reach /= 2u) {
      if (thread < reach) {
        let other = atomicLoad(&bins[thread + reach]);
        let column = sums[thread + reach];
        let now = atomicLoad(&bins[thread]);
        if (column != 0xffffffffu && (sums[thread] == 0xffffffffu || other > now || (other == now && column < sums[thread]))) {
          atomicStore(&bins[thread], other);
          sums[thread] = column;
        }
      }
      workgroupBarrier();
    }
    if (thread == 0u) {
      let out = (given.from_row + row) * given.k + g;
      let value = pre[start + sums[0]];
      values[out] = select(value, 0.0, value <= 0.0);
      indices[out] = g * size + sums[0];
    }
    workgroupBarrier();
  }
}
