import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { writeKernel } from "../../src/adapters/kernelspec";
import { packageRoot } from "../../src/adapters/package";
import { bin, requireTestPackages } from "../python";

/** Jupyter with this build's kernel in a scratch folder, first on its path, so that no installed kernel is needed or disturbed. */

requireTestPackages();
const scratch = mkdtempSync(join(tmpdir(), "saelab-jupyter-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const kernel = "saelab-test";
writeKernel(join(scratch, "kernels", kernel));

const env = {
  ...process.env,
  JUPYTER_PATH: scratch,
  JUPYTER_RUNTIME_DIR: join(scratch, "runtime"),
  JUPYTER_CONFIG_DIR: join(scratch, "config"), // not the user's own
  JUPYTER_PREFER_ENV_PATH: "0",
  IPYTHONDIR: join(scratch, "ipython"),
  PYTHONWARNINGS: "ignore",
  NO_COLOR: "1",
};
mkdirSync(join(scratch, "work"));

/** `work` is the folder that programs run in. */
export const jupyter = { kernel, env, work: join(scratch, "work") };

const LIMIT = 180_000; // ms: none hangs for ever; far above what one takes

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program of the virtual environment to its end. */
export const program = (name: string, args: string[], input?: string): Promise<Ended> =>
  new Promise((done) => {
    const child = execFile(bin(name), args, { env, cwd: jupyter.work, maxBuffer: 1 << 28, timeout: LIMIT, killSignal: "SIGKILL" }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }));
    child.stdin!.on("error", () => {}).end(input); // a program that reads nothing may be gone by now
  });

/** Runs a script of this folder; its output. */
export async function python(script: string, args: string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await program("python", [join(packageRoot, "test", "kernel", script), ...args], input);
  if (code !== 0) throw new Error(`${script} failed:\n${stderr}`);
  return stdout;
}
