import { FormatError } from "./errors";
import type { ByteSource } from "./safetensors";

/**
 * Python's pickle, as far as a state dict of PyTorch needs it. A pickle is a program for a stack machine that may call any function of any
 * module; this machine has no functions: a handful of names stand for the values they would make, every other name is refused, and
 * nothing is looked up, imported or run.
 * @see https://github.com/python/cpython/blob/main/Lib/pickletools.py (the instructions)
 */

/** Numbers that lie elsewhere in the file. */
export interface PickledStorage {
  is: "storage";
  dtype: string;
  key: string;
  count: number;
}

export interface PickledTensor {
  is: "tensor";
  storage: PickledStorage;
  /** As they stand in the pickle, unchecked. */
  first: Pickled;
  shape: Pickled;
  strides: Pickled;
}

interface PickledName {
  is: "name";
  name: string;
}

export type Pickled = null | boolean | number | bigint | string | Pickled[] | Map<string, Pickled> | PickledStorage | PickledTensor | PickledName;

const STORAGES: Record<string, string> = {
  DoubleStorage: "F64", FloatStorage: "F32", HalfStorage: "F16", BFloat16Storage: "BF16",
  LongStorage: "I64", IntStorage: "I32", ShortStorage: "I16", CharStorage: "I8", ByteStorage: "U8", BoolStorage: "BOOL",
};
const NAMES = new Set([
  "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter",
  ...Object.keys(STORAGES).map((name) => `torch ${name}`),
]);

const MAX_PICKLE = 2 ** 22; // a state dict of thousands of tensors takes less than 1 MB

const is = <T extends { is: string }>(value: unknown, what: T["is"]): value is T => typeof value === "object" && value !== null && (value as { is?: unknown }).is === what;

/**
 * @param from where it begins; it ends where it says so
 * @returns the value, and the byte behind its end
 * @throws FormatError at a name that is not known, an instruction that a state dict has no use for, or damage
 */
export function readPickle(source: ByteSource, where: string, from = 0, to = source.byteLength): { value: Pickled; end: number } {
  const bytes = source.slice(from, Math.min(to, from + MAX_PICKLE));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const fail = (what: string): never => {
    throw new FormatError(
      `${where}: expected a pickle of tensors only, found ${what} at byte ${from + at}. Nothing of it was run. ` +
      'If you trust the file, convert it: python -c "import sys, torch, safetensors.torch as s; s.save_file({k: v.contiguous() for k, v in torch.load(sys.argv[1], map_location=\'cpu\').items()}, sys.argv[2])" in.pt ae.safetensors');
  };
  const take = (count: number): number => {
    if (!(count <= bytes.length - at)) fail("that it is cut off");
    at += count;
    return at - count;
  };
  const text = (count: number): string => {
    const begin = take(count);
    return new TextDecoder().decode(bytes.subarray(begin, begin + count));
  };
  const line = (): string => {
    const end = bytes.indexOf(10, at);
    if (end < 0 || end - at > 1000) fail("a name without an end");
    const word = text(end - at);
    at++;
    return word;
  };
  const MARK = { is: "mark" } as never;
  const stack: Pickled[] = [];
  const memo = new Map<number, Pickled>();
  const pop = (): Pickled => {
    if (!stack.length || stack[stack.length - 1] === MARK) return fail("an instruction without its value");
    return stack.pop()!;
  };
  const top = (): Pickled => (stack.length && stack[stack.length - 1] !== MARK ? stack[stack.length - 1] : fail("an instruction without its value"));
  const marked = (): Pickled[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) return fail("an end without its beginning");
    return stack.splice(mark).slice(1);
  };
  const named = (module: Pickled, name: Pickled): PickledName => {
    const full = `${module} ${name}`;
    if (typeof module !== "string" || typeof name !== "string") return fail("a name that is no text");
    if (!NAMES.has(full)) return fail(`the name ${full.slice(0, 100).replace(" ", ".")}`);
    return { is: "name", name: full };
  };
  const setItems = (target: Pickled, items: Pickled[]): void => {
    if (!(target instanceof Map) || items.length % 2) return fail("entries of what is no dictionary");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      if (typeof key !== "string") return fail("a key that is no text");
      target.set(key, items[i + 1]);
    }
  };
  const append = (target: Pickled, items: Pickled[]): void => {
    if (!Array.isArray(target)) return fail("items of what is no list");
    for (const item of items) target.push(item);
  };
  /** What a known name makes of its arguments. */
  const reduce = (callee: Pickled, args: Pickled): Pickled => {
    if (!is<PickledName>(callee, "name") || !Array.isArray(args)) return fail("a call of what is no name");
    switch (callee.name) {
      case "collections OrderedDict":
        return args.length ? fail("an OrderedDict with arguments") : new Map();
      case "torch._utils _rebuild_tensor_v2": {
        const [storage, first, shape, strides] = args;
        return is<PickledStorage>(storage, "storage") ? { is: "tensor", storage, first, shape, strides } : fail("a tensor without a storage");
      }
      case "torch._utils _rebuild_parameter":
        return is<PickledTensor>(args[0], "tensor") ? args[0] : fail("a parameter that is no tensor");
      default:
        return fail(`a call of ${callee.name.replace(" ", ".")}`);
    }
  };
  /** ("storage", type, key, device, count, …) */
  const persistent = (id: Pickled): PickledStorage => {
    if (!Array.isArray(id) || id[0] !== "storage") return fail("a persistent id that is no storage");
    const [, type, key, , count, views] = id;
    const dtype = is<PickledName>(type, "name") ? STORAGES[type.name.replace("torch ", "")] : undefined;
    if (!dtype || typeof key !== "string" || typeof count !== "number" || !Number.isSafeInteger(count) || count < 0) return fail("a storage of another form");
    if (views !== undefined && views !== null) return fail("a view of a storage, as PyTorch before 0.4 wrote");
    return { is: "storage", dtype, key, count };
  };

  for (;;) {
    const code = bytes[take(1)];
    switch (code) {
      case 0x80: if (bytes[take(1)] > 5) fail("a newer protocol than 5"); break;
      case 0x95: take(8); break; // FRAME
      case 0x28: stack.push(MARK); break;
      case 0x2e: { // STOP
        const value = pop();
        if (stack.length) fail("values left over at its end");
        return { value, end: from + at };
      }
      case 0x4e: stack.push(null); break;
      case 0x88: stack.push(true); break;
      case 0x89: stack.push(false); break;
      case 0x4b: stack.push(bytes[take(1)]); break;
      case 0x4d: stack.push(view.getUint16(take(2), true)); break;
      case 0x4a: stack.push(view.getInt32(take(4), true)); break;
      case 0x8a: stack.push(long(take(1))); break;
      case 0x47: stack.push(view.getFloat64(take(8), false)); break;
      case 0x58: stack.push(text(view.getUint32(take(4), true))); break;
      case 0x8c: stack.push(text(bytes[take(1)])); break;
      case 0x7d: stack.push(new Map()); break;
      case 0x5d: case 0x29: stack.push([]); break;
      case 0x74: stack.push(marked()); break;
      case 0x85: stack.push([pop()]); break;
      case 0x86: stack.push([pop(), pop()].reverse()); break;
      case 0x87: stack.push([pop(), pop(), pop()].reverse()); break;
      case 0x73: { const [value, key] = [pop(), pop()]; setItems(top(), [key, value]); break; }
      case 0x75: { const items = marked(); setItems(top(), items); break; }
      case 0x61: { const item = pop(); append(top(), [item]); break; }
      case 0x65: { const items = marked(); append(top(), items); break; }
      case 0x71: memo.set(bytes[take(1)], top()); break;
      case 0x72: memo.set(view.getUint32(take(4), true), top()); break;
      case 0x94: memo.set(memo.size, top()); break;
      case 0x68: case 0x6a: {
        const slot = code === 0x68 ? bytes[take(1)] : view.getUint32(take(4), true);
        stack.push(memo.has(slot) ? memo.get(slot)! : fail(`slot ${slot}, which was never filled`));
        break;
      }
      case 0x63: { const module = line(); stack.push(named(module, line())); break; }
      case 0x93: { const [name, module] = [pop(), pop()]; stack.push(named(module, name)); break; }
      case 0x52: { const [args, callee] = [pop(), pop()]; stack.push(reduce(callee, args)); break; }
      case 0x51: stack.push(persistent(pop())); break;
      case 0x62: { // BUILD: a state dict carries attributes (its _metadata); they mean nothing here
        pop();
        if (!(top() instanceof Map)) fail("attributes of what is no dictionary");
        break;
      }
      default: fail(`the instruction 0x${code.toString(16)}`);
    }
  }

  /** LONG1: little-endian two's complement. */
  function long(lengthAt: number): bigint | number {
    const count = bytes[lengthAt];
    const begin = take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[begin + i]);
    if (count && bytes[begin + count - 1] & 0x80) value -= 1n << BigInt(8 * count);
    return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
  }
}
