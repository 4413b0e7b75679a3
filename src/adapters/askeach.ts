import { OptionError } from "../core/errors";
import { breathe, stopIfInterrupted } from "./interrupt";

/**
 * Does `work` for each of some jobs, so many at once. After the first error no further job is begun; those under way are waited for.
 * @throws the first error; InterruptError
 */
export async function askEach<T>(jobs: T[], concurrency: number, work: (job: T) => Promise<void>): Promise<void> {
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) throw new OptionError(`concurrency: expected a whole number from 1 on, found ${concurrency}.`);
  let next = 0;
  let failed: { error: unknown } | undefined;
  const one = async (): Promise<void> => {
    while (next < jobs.length && !failed) {
      const job = jobs[next++];
      try {
        stopIfInterrupted("Answers that had come are lost.");
        await work(job);
        await breathe();
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, jobs.length) }, one));
  if (failed) throw failed.error;
}
