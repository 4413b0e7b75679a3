import { FormatError } from "./errors";
import { readPickle, type Pickled, type PickledStorage, type PickledTensor } from "./pickle";
import type { ByteSource } from "./safetensors";
import { BYTES, viewOf, type StoredTensor } from "./storedtensor";
import { contentOffset, isZip, readZip } from "./zip";

/**
 * Files of torch.save: a zip of a pickle and the storages it speaks of (since PyTorch 1.6), or one stream of pickles with the storages
 * behind them (before). The tensors of a state dict are views on storages; their numbers stay in the file.
 * @see PyTorch 2.13, torch/serialization.py: _save and _legacy_save
 */

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

interface Room {
  offset: number;
  source: ByteSource;
  room: number;
}

/**
 * @returns the tensors of the state dict, by name; other values are left out
 * @throws FormatError when it is neither container, is damaged, or holds anything but a state dict; nothing in it is run
 */
export function readTorch(source: ByteSource, where: string): Map<string, StoredTensor> {
  return isZip(source) ? readArchive(source, where) : readStream(source, where);
}

const failing = (where: string) => (what: string): never => {
  throw new FormatError(`${where}: expected a state dict of torch.save, found ${what}. The file is damaged or another program's: copy or download it again.`);
};

function readArchive(source: ByteSource, where: string): Map<string, StoredTensor> {
  const fail = failing(where);
  const entries = readZip(source, where);
  const pickles = [...entries.keys()].filter((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  if (pickles.length !== 1) return fail(`${pickles.length} entries data.pkl`);
  const prefix = pickles[0].slice(0, -"data.pkl".length);
  const stored = (name: string): Room => {
    const entry = entries.get(name);
    if (!entry) return fail(`no entry ${JSON.stringify(name.slice(0, 100))}`);
    if (entry.method !== 0) return fail(`${JSON.stringify(name)} compressed, as PyTorch never does`);
    return { offset: contentOffset(source, entry, where), source, room: entry.size };
  };
  const order = entries.has(`${prefix}byteorder`) ? stored(`${prefix}byteorder`) : undefined;
  const bytes = order && new TextDecoder().decode(source.slice(order.offset, order.offset + Math.min(order.room, 16)));
  if (bytes !== undefined && bytes !== "little") return fail(`the byte order ${JSON.stringify(bytes)}`);
  const pickle = stored(pickles[0]);
  const { value } = readPickle(source, where, pickle.offset, pickle.offset + pickle.room);
  return stateDict(value, where, ({ dtype, key, count }) => {
    const { room, ...at } = stored(`${prefix}data/${key}`);
    if (room !== count * BYTES[dtype]) return fail(`storage ${JSON.stringify(key)} of ${room} bytes for ${count} elements of ${dtype}`);
    return { ...at, room: count };
  });
}

function readStream(source: ByteSource, where: string): Map<string, StoredTensor> {
  const fail = failing(where);
  let at = 0;
  const next = (): Pickled => {
    const { value, end } = readPickle(source, where, at);
    at = end;
    return value;
  };
  const begin = source.byteLength >= 4 ? source.slice(0, 4) : new Uint8Array(4);
  if (begin[0] !== 0x80 || next() !== MAGIC) return fail("another beginning");
  const protocol = next();
  if (protocol !== PROTOCOL) return fail(`protocol ${String(protocol)}`);
  const system = next();
  if (!(system instanceof Map) || system.get("little_endian") !== true) return fail("another byte order than little-endian");
  const state = next();
  const keys = next();
  if (!Array.isArray(keys)) return fail("no list of storages");
  const sizes = new Map<string, { dtype: string; count: number }>();
  // the dictionary says how large each storage is, the list in which order they come
  if (state instanceof Map) for (const value of state.values()) if (isTensor(value)) sizes.set(value.storage.key, value.storage);
  const rooms = new Map<string, Room & { dtype: string }>();
  for (const key of keys) {
    const size = typeof key === "string" ? sizes.get(key) : undefined;
    if (typeof key !== "string" || !size || rooms.has(key) || at + 8 > source.byteLength) return fail(`storage ${String(key).slice(0, 40)} that no tensor uses, or without its numbers`);
    const head = source.slice(at, at + 8);
    const count = Number(new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true));
    if (count !== size.count || at + 8 + count * BYTES[size.dtype] > source.byteLength) return fail(`storage ${key.slice(0, 40)} of ${count} elements, of ${size.count}`);
    rooms.set(key, { dtype: size.dtype, offset: at + 8, source, room: count });
    at += 8 + count * BYTES[size.dtype];
  }
  return stateDict(state, where, ({ key, dtype, count }) => {
    const room = rooms.get(key);
    return room && room.dtype === dtype && room.room === count ? room : fail(`no storage ${key.slice(0, 40)}`);
  });
}

const isTensor = (value: Pickled): value is PickledTensor => typeof value === "object" && value !== null && "is" in value && value.is === "tensor";

function stateDict(value: Pickled, where: string, roomOf: (storage: PickledStorage) => Room): Map<string, StoredTensor> {
  if (!(value instanceof Map)) return failing(where)("a pickle of something else");
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of value) {
    if (!isTensor(tensor)) continue;
    tensors.set(name, viewOf(`${where}: ${name}`, { dtype: tensor.storage.dtype, ...roomOf(tensor.storage) }, tensor.first, tensor.shape, tensor.strides));
  }
  return tensors;
}
