import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A child process that is asked in lines of JSON, one at a time, and answers each with one: what it takes is its own processor time. */
export interface Dialogue {
  ask<Answer = Record<string, unknown>>(question: object): Promise<Answer>;
  /** Lets it end, and waits until it has. */
  end(): Promise<void>;
}

/**
 * Starts a child; its standard error is ours.
 * @throws Error from `ask` when the child answers { error } or has ended
 */
export function converse(command: string, args: string[], env: Record<string, string> = {}): Dialogue {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ended = new Promise<string>((resolve) => {
    child.once("error", ({ message }) => resolve(message));
    child.once("close", (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
  });
  child.stdin.on("error", () => {}); // it ended: `ended` says so
  return {
    async ask<Answer>(question: object) {
      child.stdin.write(`${JSON.stringify(question)}\n`);
      const line = await Promise.race([lines.next(), ended]);
      if (typeof line === "string" || line.done) throw new Error(`${command} ${args[0]}: ${typeof line === "string" ? line : await ended}`);
      const answer = JSON.parse(line.value) as Answer & { error?: string };
      if (answer.error !== undefined) throw new Error(`${command} ${args[0]}: ${answer.error}`);
      return answer;
    },
    async end() {
      child.stdin.end();
      await ended;
    },
  };
}
