import type { Losses, Step } from "./step";

/**
 * `send` and `taken` of a step whose updates are done when they return.
 * @param update as the step's own; when it throws, the update is not counted
 */
export function atOnce(update: Step["update"], latents: number): Pick<Step, "update" | "stride" | "send" | "taken"> {
  let losses: Omit<Losses, "chosen">[] = [];
  const last = new Int32Array(latents); // number of the update in which each fired last, from 1; 0 in none
  return {
    update,
    stride: 1,
    send(x, options) {
      const { chosen: { index, value }, ...rest } = update(x, options);
      losses.push(rest);
      for (let i = 0; i < index.length; i++) if (value[i] > 0) last[index[i]] = losses.length;
    },
    async taken() {
      const taken = { losses, silent: last.map((number) => losses.length - number) };
      losses = [];
      last.fill(0);
      return taken;
    },
  };
}
