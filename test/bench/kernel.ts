import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { kernelSpec } from "../../kernel-ext/kernel/spec";
import { packageRoot, version } from "../../src/adapters/package";
import { LINES, markdown, type Measured } from "./kerneltable";

/**
 * Our kernel beside stock tslab, Deno's and ipykernel, by turns in one run, as a front end sees them (kernel.py drives them, with jupyter_client).
 * Prints a Markdown table of medians; a peer that cannot be had is "absent", with the reason, and the others are measured all the same.
 */
const ROUNDS = 30;
const STARTS = 15; // at most: a start takes a second or two of each kernel
const LIMIT = 25; // minutes for the whole: the rounds take about eight
const python = join(packageRoot, ".venv", "bin", "python");

/** What kernel.py runs, by step; a cell that "begins" writes the file `mark`. */
type Step = "trivial" | "prepare" | "import" | "tensors" | "lines" | "completion" | "control" | "interruptLoop" | "interruptWait" | "interruptLate";
type Cells = Record<Step, string> & { mistyped?: string };

interface Peer {
  name: string;
  version: string;
  /** A kernelspec to write; ipykernel brings its own. */
  spec?: object;
  cwd: string;
  cells: Cells;
  /** Rows that do not exist for this kernel, and why. */
  skip?: Record<string, string>;
  remarks?: string[];
}
type Absent = { name: string; absent: string };

/** Folders of one run: `project` has all that our notebooks import, for kernels that do not bring it. */
interface Place {
  scratch: string;
  project: string;
  mark: string;
}

const typescript = (mark: string, prepare = ""): Cells => {
  const begin = `writeFileSync(${JSON.stringify(mark)}, "");`;
  return {
    trivial: "1 + 1",
    prepare: `import { writeFileSync } from "node:fs";\n${prepare}`,
    // The last line uses both, so that no kernel drops an import as unused.
    import: `import * as tf from "@tensorflow/tfjs-node-gpu";\nimport * as saelab from "saelab";\n[tf.getBackend(), typeof saelab.heatMap, "loaded"].join()`,
    tensors: "const x = tf.tensor2d([[1, 2], [3, 4]]);\nconst y = x.matMul(x).sum();\ny.dataSync()[0]", // 54
    lines: `for (let i = 0; i < ${LINES}; i++) console.log("line", i);`,
    completion: "tf.",
    control: `${begin}\nconst t = Date.now();\nwhile (Date.now() - t < 400);`,
    interruptLoop: `${begin}\nwhile (true) {}`,
    interruptWait: `${begin}\nawait new Promise((done) => setTimeout(done, 60_000));`,
    interruptLate: `await null;\n${begin}\nwhile (true) {}`,
    mistyped: "const n: number = tf.tensor1d([1]);",
  };
};

/** TF.js 4.22 calls two functions that Node 23 and Deno do not have; our kernel puts them back itself. */
const shim = (require: string): string =>
  `{ const util: any = ${require}("util"); util.isNullOrUndefined ??= (v: any) => v == null; util.isArray ??= Array.isArray; }`;

function makePlace(scratch: string): Place {
  const project = join(scratch, "project");
  mkdirSync(join(project, "node_modules"), { recursive: true });
  for (const name of ["@tensorflow", "@types"]) symlinkSync(join(packageRoot, "node_modules", name), join(project, "node_modules", name));
  symlinkSync(packageRoot, join(project, "node_modules", "saelab"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ dependencies: { "@tensorflow/tfjs-node-gpu": "*", saelab: "*" } }));
  writeFileSync(join(project, "deno.json"), JSON.stringify({ nodeModulesDir: "manual" }));
  return { scratch, project, mark: join(scratch, "mark") };
}

const quiet = { TF_CPP_MIN_LOG_LEVEL: "2" };

function tslab({ project, mark }: Place): Peer | Absent {
  const folder = join(packageRoot, "node_modules", "tslab");
  if (!existsSync(folder)) return { name: "tslab", absent: "node_modules holds no tslab" };
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
  // As tslab's python/install.py writes it.
  const argv = [process.execPath, join(folder, "bin", "tslab"), "kernel", "--config-path", "{connection_file}"];
  const spec = { argv, display_name: "tslab", language: "typescript", env: quiet };
  return { name: "tslab", version, spec, cwd: project, cells: typescript(mark, shim("require")) };
}

/** Deno from the npm registry, beside this file and not in the root's manifest; its install script is not run: it only hunts for the binary. */
function deno({ scratch, project, mark }: Place): Peer | Absent {
  const folder = join(packageRoot, "test", "bench", "kernel");
  const lock = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as { packages: Record<string, { version?: string }> };
  const { version = "" } = lock.packages["node_modules/deno"];
  const platform = `@deno/${process.platform}-${process.arch}${process.platform === "linux" ? "-glibc" : ""}`;
  const binary = join(folder, "node_modules", platform, "deno");
  const runs = (): boolean => spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout?.startsWith(`deno ${version} `) ?? false;
  if (!runs()) {
    console.error(`bench kernel: installs deno ${version} (${platform}, 92 MB) from the npm registry into test/bench/kernel/node_modules`);
    const { status, stderr, error } = spawnSync("npm", ["ci", "--ignore-scripts"], { cwd: folder, encoding: "utf8", timeout: 300_000 });
    if (status !== 0) return { name: "Deno", absent: `npm ci in test/bench/kernel: ${error?.message ?? stderr.trim().split("\n")[0]}` };
    if (!runs()) return { name: "Deno", absent: `${binary} does not run here` };
  }
  // As `deno jupyter --install` writes it.
  const argv = [binary, "jupyter", "--kernel", "--conn", "{connection_file}"];
  const env = { ...quiet, DENO_DIR: join(scratch, "deno"), DENO_NO_UPDATE_CHECK: "1" };
  const spec = { argv, display_name: "Deno", language: "typescript", env };
  const prepare = `import { createRequire } from "node:module";\n${shim(`createRequire(${JSON.stringify(join(project, "cell.ts"))})`)}`;
  return { name: "Deno", version, spec, cwd: project, cells: typescript(mark, prepare) };
}

function ipykernel({ scratch, mark }: Place): Peer | Absent {
  const ask = (code: string): string => spawnSync(python, ["-c", code], { encoding: "utf8" }).stdout.trim();
  const version = ask("import ipykernel; print(ipykernel.__version__)");
  if (!version) return { name: "ipykernel", absent: ".venv holds no ipykernel" };
  const numpy = ask("import numpy; print(numpy.__version__)");
  const name = numpy ? "numpy" : "json";
  const begin = `open(${JSON.stringify(mark)}, "w").close()`;
  const cells: Cells = {
    trivial: "1 + 1",
    prepare: "import asyncio, time",
    import: `import ${name}\n${name}.__name__ + " loaded"`,
    tensors: "x = numpy.array([[1, 2], [3, 4]])\ny = (x @ x).sum()\nint(y)",
    lines: `for i in range(${LINES}): print("line", i)`,
    completion: `${name}.`,
    control: `${begin}\nt = time.monotonic()\nwhile time.monotonic() - t < 0.4: pass`,
    interruptLoop: `${begin}\nwhile True: pass`,
    interruptWait: `${begin}\ntime.sleep(60)`,
    interruptLate: `await asyncio.sleep(0)\n${begin}\nwhile True: pass`,
  };
  const remarks = [`ipykernel imports ${numpy ? `numpy ${numpy}` : "json, as .venv holds no numpy"}, and waits in time.sleep`];
  const skip = { mistyped: "Python has no types to check", ...(numpy ? {} : { tensors: ".venv holds no numpy" }) };
  return { name: "ipykernel", version, cwd: scratch, cells, skip, remarks };
}

const ours = ({ mark }: Place): Peer => ({
  name: "ours",
  version: `${version} (${execFileSync("git", ["-C", packageRoot, "describe", "--always", "--dirty"], { encoding: "utf8" }).trim()})`,
  spec: kernelSpec({ node: process.execPath, packageRoot }),
  cwd: join(packageRoot, "notebooks"),
  cells: typescript(mark),
});

export async function benchKernel({ rounds = ROUNDS }: { rounds?: number } = {}): Promise<object> {
  if (!existsSync(python)) throw new Error(`${python}: expected the Python of the set-up, found none; run npm run setup`);
  const scratch = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  const starts = Math.min(rounds, STARTS);
  try {
    const place = makePlace(scratch);
    const columns = [tslab, deno, ipykernel, ours].map((peer) => peer(place));
    const peers = columns.filter((column): column is Peer => !("absent" in column));
    const kernels = peers.map(({ name, spec, cwd, cells, skip = {} }) => {
      const kernel = spec ? `bench-${name.toLowerCase()}` : "python3";
      if (spec) {
        mkdirSync(join(scratch, "kernels", kernel), { recursive: true });
        writeFileSync(join(scratch, "kernels", kernel, "kernel.json"), JSON.stringify(spec));
      }
      return { name, kernel, cwd, cells, skip };
    });
    const measured = JSON.parse(await drive({ kernels, starts, rounds, lines: LINES, scratch }, scratch)) as Record<string, Measured>;
    const machine = `${cpus()[0]?.model.trim()} × ${cpus().length}, Node ${process.versions.node}; ${columns
      .map((column) => `${column.name} ${"absent" in column ? "absent" : column.version}`).join(", ")}`;
    const made = markdown(columns.map((column) => ({ ...column, ...measured[column.name] })), { rounds, starts });
    console.log(`${machine}\n\n${made.text}\n`);
    return { bench: "kernel", machine, rounds, starts, ...made.values };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function drive(task: object, scratch: string): Promise<string> {
  return new Promise((done, fail) => {
    const env = { ...process.env, JUPYTER_PATH: scratch, JUPYTER_RUNTIME_DIR: join(scratch, "runtime") };
    // SIGTERM after the limit: kernel.py ends its kernels then, too.
    const options = { env, stdio: ["pipe", "pipe", "inherit"] as ["pipe", "pipe", "inherit"], timeout: LIMIT * 60_000 };
    const child = spawn(python, [join(packageRoot, "test", "bench", "kernel.py")], options);
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.on("error", fail);
    child.on("close", (code, signal) => (code === 0 ? done(out) : fail(new Error(`kernel.py ended with ${signal ?? `code ${code}`}`))));
    child.stdin.end(JSON.stringify(task));
  });
}
