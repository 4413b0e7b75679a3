import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Attributes, Engine, Id } from "../../src/adapters/tensorflow";

/**
 * Where tensors would lie and kernels run if there were a card: an engine that computes here, and follows every tensor by what
 * TensorFlow's CUDA build has registered (test/oracle/make_gpukernels.py).
 */

interface Argument { name: string; count?: string }
interface Kernel { device: "GPU" | "DEFAULT"; types: Record<string, number[]>; host: string[] }
export const registry = JSON.parse(readFileSync(join(__dirname, "../../../test/oracle/gpukernels.json"), "utf8")) as {
  tensorflow: string; ops: Record<string, { inputs: Argument[]; outputs: Argument[]; kernels: Kernel[] }>;
};

/** The kernel that a card takes; none where the processor would have to. */
export function kernelOf(op: string, attributes: Attributes): Kernel | undefined {
  const known = registry.ops[op];
  assert.ok(known, `${op} is not in test/oracle/gpukernels.json: make it anew (make_gpukernels.py)`);
  const fits = ({ types }: Kernel): boolean => Object.entries(types).every(([name, allowed]) => {
    const value = attributes[name];
    return typeof value === "object" && "type" in value && allowed.includes(value.type);
  });
  return known.kernels.find((kernel) => kernel.device === "GPU" && fits(kernel)) ?? known.kernels.find(fits);
}

/**
 * What a card would be kept waiting by, or made to do: "upload" (a tensor is sent to it), "read" (one is fetched), "processor" (an op
 * has no kernel for it), "kernel" (it computes).
 */
export interface Event { what: "upload" | "read" | "processor" | "kernel"; by: string }

export function followed(engine: Engine): { engine: Engine; events: Event[] } {
  const events: Event[] = [];
  const places = new Map<Id, "host" | "card">();
  const note = (what: Event["what"], by: string): void => void events.push({ what, by });
  /** @param size of a tensor: the binding leaves int32 on the host */
  const placed = (id: Id, data: Float32Array | Int32Array): Id => {
    const host = data instanceof Int32Array;
    places.set(id, host ? "host" : "card");
    if (!host) note("upload", `a tensor of ${data.length}`);
    return id;
  };
  const spread = (list: Argument[], attributes: Attributes): string[] => list.flatMap(({ name, count }) => Array<string>(count === undefined ? 1 : attributes[count] as number).fill(name));
  const read = (id: Id): void => {
    if (places.get(id) === "card") note("read", "the host");
  };
  return {
    events,
    engine: {
      ...engine,
      tensor: (data, shape) => placed(engine.tensor(data, shape), data),
      lasting: (data, shape) => placed(engine.lasting(data, shape), data),
      run(op, attributes, inputs, outputs) {
        const kernel = kernelOf(op, attributes);
        note(kernel ? "kernel" : "processor", op);
        const { inputs: given, outputs: made } = registry.ops[op];
        const names = spread(given, attributes), results = spread(made, attributes);
        assert.equal(names.length, inputs.length, op);
        const place = (name: string): "host" | "card" => (!kernel || kernel.host.includes(name) ? "host" : "card");
        inputs.forEach((id, i) => {
          const wanted = place(names[i]), is = places.get(id);
          assert.ok(is, `${op}: ${names[i]} comes from nowhere`);
          if (wanted !== is) note(wanted === "host" ? "read" : "upload", `${op}: ${names[i]}`);
        });
        const out = engine.run(op, attributes, inputs, outputs);
        out.forEach((id, i) => places.set(id, place(results[i])));
        return out;
      },
      floats(id) {
        read(id);
        return engine.floats(id);
      },
      ints(id) {
        read(id);
        return engine.ints(id);
      },
    },
  };
}
