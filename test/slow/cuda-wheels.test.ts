import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/adapters/package";
import { bin } from "../python";

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
