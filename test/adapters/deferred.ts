import type { Step, UpdateOptions } from "../../src/adapters/step";
import { DeviceLostError, MemoryError } from "../../src/core/errors";

/**
 * A step as a device has it that is read later: what is sent is done when it is taken, and may fail at either moment. All that is
 * computed is a real step's own.
 */
export interface Fault {
  /** At which update, counted from 1 over the run. */
  at: number;
  when?: "send" | "taken" | "part"; // taken; part: any reading of the state after that many updates
  what: "memory" | "broken" | "lost"; // memory: the state is whole; broken: it is not
  /** Only while more rows than this are encoded at a time. */
  above?: number; // 0: always
  /** How often: Infinity. */
  times?: number;
}

export function deferred(step: Step, stride: number, faults: Fault[] = []): Step {
  let queue: [Float32Array, UpdateOptions][] = [];
  let lost = false;
  const steps = (): number => step.sizes().steps;
  const check = (when: NonNullable<Fault["when"]>, update: number): void => {
    if (lost) throw new DeviceLostError("fake device: expected it to be there, found that it was lost.");
    for (const fault of faults) {
      const { at, when: its = "taken", what, above = 0, times = Infinity } = fault;
      if (at !== update || its !== when || !(self.rows > above) || !times) continue;
      fault.times = times - 1;
      lost = what === "lost";
      queue = [];
      throw lost ? new DeviceLostError("fake device: expected it to be there, found that it was lost.")
        : new MemoryError(`fake device: expected room for ${self.rows} rows, found none.`, { intact: what === "memory" });
    }
  };
  const self: Step = {
    ...step,
    stride,
    update: () => {
      throw new RangeError("read every stride");
    },
    send(x, options) {
      const before = queue;
      try {
        check("send", steps() + queue.length + 1);
      } catch (error) {
        if (!lost) queue = before; // those before it are under way
        throw error;
      }
      queue.push([x, options]);
    },
    async taken() {
      await new Promise((resolve) => setImmediate(resolve));
      for (; queue.length; queue.shift()) {
        check("taken", steps() + 1);
        step.send(...queue[0]);
      }
      return step.taken();
    },
    sizes: () => ({ ...step.sizes(), steps: steps() + queue.length }),
    part: async (set, name, from, to) => {
      check("part", steps());
      return step.part ? step.part(set, name, from, to) : (await step.live())[set][name]!.slice(from, to);
    },
    live: async () => {
      check("part", steps());
      return step.live();
    },
  };
  return self;
}
