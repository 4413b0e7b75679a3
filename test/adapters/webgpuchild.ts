import { cases } from "./webgpucases";

/** Runs the cases in turn, in a process whose environment has a card; a line of JSON for each. Words pick cases by their names. */
void (async () => {
  const words = process.argv.slice(2);
  for (const { name, run } of cases.filter((one) => !words.length || words.some((word) => one.name.includes(word)))) {
    const start = process.cpuUsage();
    let failure: string | undefined;
    try {
      await run();
    } catch (error) {
      failure = String((error as Error).stack ?? error);
    }
    const { user, system } = process.cpuUsage(start);
    process.stdout.write(`\n${JSON.stringify({ name, failure, seconds: Math.round((user + system) / 1e5) / 10 })}\n`);
  }
  process.exit(0); // TensorFlow and Dawn need not be taken down
})();
