import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/adapters/package";
import { bin, venv } from "../python";

/** What set-up installs with a card, resolved against the registry, without installing it: every pin is to be had, and they fit together. */

interface Report {
  install: { metadata: { name: string; version: string } }[];
}
const pins = (file: string): string[] => readFileSync(path.join(packageRoot, "kernel-ext", file), "utf8").split("\n").filter((line) => /^\w/.test(line));

for (const [file, extra] of [["requirements-cuda.txt", "tensorflow[and-cuda]"], ["requirements-onnx-cuda.txt", "onnxruntime-gpu[cuda,cudnn]"]]) {
  test(`${file} is what ${extra} asks for`, { timeout: 600_000 }, () => {
    const wanted = pins(file);
    const version = wanted[0].split("==")[1];
    const { status, stdout, stderr } = spawnSync(bin("python"), ["-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", `${extra}==${version}`, ...wanted.slice(1)],
      { encoding: "utf8", maxBuffer: 2 ** 26 });
    assert.equal(status, 0, stderr);
    const plain = (name: string): string => name.toLowerCase().replace(/_/g, "-");
    const found = (JSON.parse(stdout) as Report).install.map(({ metadata }) => `${plain(metadata.name)}==${metadata.version}`);
    assert.deepEqual(found.filter((each) => each.startsWith("nvidia-")).sort(), wanted.slice(1).sort(), "no library of NVIDIA's is missing, none is too many");
  });
}

// Where CUDA's build is installed (node kernel-ext/setup.mjs --cuda; no card is needed): TensorFlow's own check, which makes it leave a card unused.

const site = readdirSync(path.join(venv, "lib")).map((name) => path.join(venv, "lib", name, "site-packages")).find((folder) => existsSync(path.join(folder, "nvidia", "cublas")));

test("TensorFlow finds all of CUDA's libraries without LD_LIBRARY_PATH", { skip: site ? false : "CUDA's build of TensorFlow is not installed" }, () => {
  const code = `import ctypes, sys
check = ctypes.CDLL(sys.argv[1])._ZN3tsl8internal9DsoLoader22TryDlopenCUDALibrariesEv
check.argtypes, status = [ctypes.c_void_p], ctypes.create_string_buffer(64)
check(status)
print(int.from_bytes(status.raw[:8], "little"))`;
  const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: "3" };
  delete (env as NodeJS.ProcessEnv).LD_LIBRARY_PATH;
  const { stdout, stderr } = spawnSync(bin("python"), ["-c", code, path.join(site ?? "", "tensorflow", "libtensorflow_framework.so.2")], { encoding: "utf8", env });
  assert.equal(stdout.trim(), "1", `absl::OkStatus() is 1; ${stderr}`);
});
