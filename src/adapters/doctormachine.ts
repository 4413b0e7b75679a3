import { spawn, spawnSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { totalmem } from "node:os";
import path from "node:path";
import type { Missing } from "../core/device";
import { hardware, type Hardware } from "./devices";
import { freeMemory } from "./memory";
import type { Ran } from "./nvidia";
import { findVenv, packageRoot, version } from "./package";
import type { Probes } from "./doctorprobe";
import { findWebGpu } from "./webgpu";

/** All that the doctor asks of a machine, as functions: this machine's, or those of one that a test describes. */
export interface Machine extends Hardware {
  /** Of saelab. */
  version: string;
  root: string;
  /** Set-up's virtual environment. */
  venv?: string;
  /** Of Node. */
  node: string;
  cwd: string;
  memory(): { total: number; free: number };
  /** Bytes; undefined where nobody says. */
  freeDisk(folder: string): number | undefined;
  run(command: string, args: string[]): Ran;
  /** What a probe of native code gives; or that it ended without an answer, with the signal or the last words. */
  probe<K extends keyof Probes>(name: K, options: Probes[K]["asks"]): Promise<Probes[K]["gives"] | Missing>;
}

export const thisMachine = (): Machine => ({
  ...hardware(), version, root: packageRoot, venv: findVenv(), node: process.versions.node, cwd: process.cwd(),
  memory: () => ({ total: totalmem(), free: freeMemory() }),
  freeDisk(folder) {
    try {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    } catch {
      return undefined;
    }
  },
  run(command, args) {
    const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: 20_000, stdio: ["ignore", "pipe", "pipe"] });
    return { status: error ? null : status, stdout: stdout ?? "", stderr: stderr ?? "" };
  },
  // findWebGpu asks a child of its own
  probe: (name, options) => (name === "webgpu" ? findWebGpu().then((found) => ({ there: true, found }) as never) : inChild(name, options)),
});

/** Seconds that a probe may take: cold disks; of a measurement drivers that compile kernels first. */
const PATIENCE = { look: 120, measure: 900 };

/** Native code that crashes ends a child, not the doctor. What it gave before it crashed counts. */
function inChild<K extends keyof Probes>(name: K, options: Probes[K]["asks"]): Promise<Probes[K]["gives"] | Missing> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path.join(__dirname, "doctorprobe.js"), name, JSON.stringify(options)], { stdio: ["ignore", "ignore", "pipe", "ipc"], serialization: "json" });
    let said = "", answered: Probes[K]["gives"] | Missing | undefined;
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4000)));
    child.on("message", (answer) => (answered = answer as Probes[K]["gives"] | Missing));
    const patience = name === "training" || name === "harvest" ? PATIENCE.measure : PATIENCE.look;
    const timer = setTimeout(() => {
      answered ??= { there: false, why: `it gave no answer in ${patience} s` };
      child.kill("SIGKILL");
    }, 1000 * patience);
    child.on("error", (error) => resolve({ there: false, why: `Node does not start: ${error.message}` }));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const last = said.trim().split("\n").filter((text) => !/^\s+at |^Node\.js v/.test(text)).at(-1)?.trim();
      resolve(answered ?? { there: false, why: `the process that tried it ${signal ? `was ended by ${signal}` : `ended with code ${code}`}${last ? `, and said: ${last}` : ""}` });
    });
  });
}
