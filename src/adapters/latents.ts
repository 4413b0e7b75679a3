import { OptionError } from "../core/errors";

/** @param where the features' path, or who asks @throws OptionError at the first that is no latent of so many */
export function requireLatents(latents: number[], count: number, where: string): void {
  const wrong = latents.find((latent) => !Number.isInteger(latent) || latent < 0 || latent >= count);
  if (wrong !== undefined) throw new OptionError(`${where}: expected a latent from 0 to ${count - 1}, found ${wrong}.`);
}
