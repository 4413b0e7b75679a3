import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kernelSpec } from "../../kernel-ext/kernel/spec";
import type { Content } from "../../kernel-ext/kernel/wire";
import { packageRoot } from "../../src/adapters/package";
import { bin } from "../python";

export interface Step {
  code?: string;
  interruptOn?: string; // interrupts once the cell's output holds this
  how?: "message" | "signal"; // by interrupt_request, or SIGINT; the kernelspec's way otherwise
  askOn?: string; // asks on control and heartbeat once the cell's output holds this
  answer?: string; // typed when it asks
  expressions?: Record<string, string>;
  silent?: boolean;
  send?: string;
  hostile?: true;
  burst?: string[];
  request?: string;
  content?: Content;
  restart?: true;
}

export interface Answer {
  reply: { type: string; content: Content };
  outputs: { type: string; content: Content }[];
  control?: { type: string; content: Content };
  asked?: unknown;
}

export interface Driven {
  info: Answer["reply"];
  answers: Record<string, Answer | Answer[]>;
  ended: boolean;
  beating: boolean;
}

/** Runs a Python script of this folder that starts this build's kernel, under a kernelspec in a scratch folder. */
export async function withKernel<T>(script: string, task: Content): Promise<T> {
  const scratch = mkdtempSync(join(tmpdir(), "saelab-jupyter-"));
  try {
    const kernels = join(scratch, "kernels", "saelab-test");
    mkdirSync(kernels, { recursive: true });
    writeFileSync(join(kernels, "kernel.json"), JSON.stringify(kernelSpec({ node: process.execPath, packageRoot })));
    const env = { ...process.env, JUPYTER_PATH: scratch, JUPYTER_RUNTIME_DIR: join(scratch, "runtime"), SAELAB_OUTPUT_PACE: "off" };
    const out = await new Promise<string>((done, fail) => {
      const child = execFile(bin("python"), [join(packageRoot, "test", "kernel", script)], { env, maxBuffer: 1 << 28 }, (error, stdout, stderr) =>
        error ? fail(new Error(`${script} failed:\n${stderr}`, { cause: error })) : done(stdout));
      child.stdin?.end(JSON.stringify({ kernel: "saelab-test", ...task }));
    });
    try {
      return JSON.parse(out) as T;
    } catch (error) {
      const at = Number(/position (\d+)/.exec(String(error))?.[1] ?? 0);
      throw new Error(`${script}: expected JSON, found …${out.slice(Math.max(0, at - 200), at + 200)}…`, { cause: error });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Takes a kernel through steps, one after the other; drive.py says what each may be. */
export async function drive(steps: Record<string, Step>, cwd: string): Promise<Driven> {
  const { steps: found, ...rest } = await withKernel<{ steps: (Answer | Answer[])[] } & Omit<Driven, "answers">>("drive.py", { cwd, steps: Object.values(steps) });
  return { ...rest, answers: Object.fromEntries(Object.keys(steps).map((name, i) => [name, found[i]])) };
}

/** Text of a cell's result; its reply where it has none. */
export function resultOf({ outputs, reply }: Answer): unknown {
  const shown = outputs.find(({ type }) => type === "execute_result");
  return shown ? (shown.content.data as Content)["text/plain"] : reply.content;
}

export const printedBy = ({ outputs }: Answer, which = "stdout"): string =>
  outputs.filter(({ type, content }) => type === "stream" && content.name === which).map(({ content }) => content.text).join("");
