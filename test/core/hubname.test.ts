import { test } from "node:test";
import assert from "node:assert/strict";
import { HubError, OptionError } from "../../src/core/errors";
import { isHubId, isSafePath, nextPage, parseHubId, readTreeText, repositoryFolder, select, treeText, type HubFile } from "../../src/core/hubname";

test("names of the hub in all their spellings", () => {
  const read = (text: string) => {
    const { id, revision, subfolder } = parseHubId(text);
    return [id, revision, subfolder];
  };
  assert.deepEqual(read("org/name"), ["org/name", undefined, undefined]);
  assert.deepEqual(read("gpt2"), ["gpt2", undefined, undefined]);
  assert.deepEqual(read("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B@main"), ["deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "main", undefined]);
  assert.deepEqual(read("org/name@refs/pr/3"), ["org/name", "refs/pr/3", undefined]);
  assert.deepEqual(read("hf://org/name@v1"), ["org/name", "v1", undefined]);
  assert.deepEqual(read("hf://models/org/name"), ["org/name", undefined, undefined]);
  assert.deepEqual(read("https://huggingface.co/org/name"), ["org/name", undefined, undefined]);
  assert.deepEqual(read("https://huggingface.co/gpt2/tree/main"), ["gpt2", "main", undefined]);
  assert.deepEqual(read("https://hf.co/org/name/tree/refs%2Fpr%2F1/layers.10.mlp?x#y"), ["org/name", "refs/pr/1", "layers.10.mlp"]);
  for (const text of ["", "/abs/path", "./here", "../up", "a/b/c", "a//b", "org/", "org/.hidden", "a--b/c", "org/x..y", "org/name.git", "org/na me", "datasets/org/name", "hf://datasets/org/name", "https://example.com/org/name", "https://huggingface.co/", "https://huggingface.co/org/name/blob/main/x", "https://huggingface.co/org/name/tree", "C:\\models", "~/models", "org/name@", "org/name@../x", "org/name@a b", "org/name@x.lock", "https://huggingface.co/a%zz", "https://huggingface.co/org/name/tree/main/..%2F..%2Fx"]) {
    assert.equal(isHubId(text), false, text);
    assert.throws(() => parseHubId(text), (error: Error) => error instanceof HubError || error instanceof OptionError, text);
  }
  assert.equal(repositoryFolder("org/name"), "models--org--name");
  assert.equal(repositoryFolder("gpt2"), "models--gpt2");
});

test("paths that stay where they are put", () => {
  for (const path of ["a", "a/b.c", "Ünï/ö", ".gitattributes", "a..b", "A", "-x"]) assert.ok(isSafePath(path), path);
  for (const path of ["", ".", "..", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b", "a\0", "a\u0007", "c:x", "x".repeat(1025)]) assert.ok(!isSafePath(path), path);
});

test("the next page of a Link header", () => {
  assert.equal(nextPage(null), undefined);
  assert.equal(nextPage('<https://h/a?cursor=x,y>; rel="next"'), "https://h/a?cursor=x,y");
  assert.equal(nextPage('</first>; rel="first", </second>; title="t"; rel=next'), "/second");
  assert.equal(nextPage('</first>; rel="prev"'), undefined);
});

test("the list of a commit is kept and read as Python keeps it; one of another version is not used", () => {
  const files: HubFile[] = [
    { path: "b", size: 3, oid: "1".repeat(40), sha256: "2".repeat(64), xetHash: "3".repeat(64) },
    { path: "a", size: 1, oid: "4".repeat(40) },
  ];
  assert.deepEqual(JSON.parse(treeText(files)), {
    format_version: 1,
    files: {
      a: { size: 1, blob_id: "4".repeat(40) },
      b: { size: 3, blob_id: "1".repeat(40), lfs_sha256: "2".repeat(64), lfs_size: 3, xet_hash: "3".repeat(64) },
    },
  });
  assert.deepEqual(readTreeText(treeText(files)), [files[1], files[0]]);
  assert.equal(readTreeText(treeText(files).replace('"format_version": 1', '"format_version": 2')), undefined);
  assert.equal(readTreeText(treeText(files).replace('"a"', '"../a"')), undefined);
  assert.equal(readTreeText("{"), undefined);
});

test("files are picked by name, which must be there, by pattern, which need not, or by a function", () => {
  const files: HubFile[] = ["a.json", "b.safetensors", "c/a.json"].map((path) => ({ path, size: 1 }));
  const names = (wanted: Parameters<typeof select>[1]) => select(files, wanted, "x").map(({ path }) => path);
  assert.deepEqual(names([/json$/g, "a.json"]), ["a.json", "c/a.json"]);
  assert.deepEqual(names((list) => [list[1], "a.json"]), ["a.json", "b.safetensors"]);
  assert.throws(() => names(["a.json", "d"]), /^HubError: x: expected d, found a\.json, b\.safetensors, c\/a\.json/);
  assert.throws(() => names([/gguf/]), HubError);
  assert.throws(() => names([]), HubError);
  assert.throws(() => names(() => []), HubError);
});
