import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { shellWord, withoutHome } from "../../src/core/shell";

test("a path is one word of a shell, whatever is in it", () => {
  for (const path of ["/home/ada/saelab/.venv", "/home/ada/my lab/.venv", "/srv/it's $HOME; rm * \"x\"/y", "/srv/a&b"]) {
    assert.equal(spawnSync("sh", ["-c", `printf %s ${shellWord(path)}`], { encoding: "utf8" }).stdout, path);
  }
  assert.equal(shellWord("/home/ada/saelab/.venv"), "/home/ada/saelab/.venv");
});

test("the home folder is ~, in sentences and in commands that still do what they did", () => {
  const home = "/home/ada";
  assert.equal(withoutHome("5 GB free in /home/ada; /home/ada/x, /home/adam/y and /mnt/home/ada/z", home), "5 GB free in ~; ~/x, /home/adam/y and /mnt/home/ada/z");
  const command = withoutHome(`rm ${shellWord("/home/ada/my lab/.venv/x")}`, home);
  assert.equal(command, "rm ~/'my lab/.venv/x'");
  assert.equal(spawnSync("sh", ["-c", command.replace("rm", "printf %s")], { encoding: "utf8", env: { HOME: home } }).stdout, "/home/ada/my lab/.venv/x");
  assert.equal(withoutHome("/x/y", "/"), "/x/y");
});
