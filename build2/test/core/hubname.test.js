"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const errors_1 = require("../../src/core/errors");
const hubname_1 = require("../../src/core/hubname");
(0, node_test_1.test)("names of the hub in all their spellings", () => {
    const read = (text) => {
        const { id, revision, subfolder } = (0, hubname_1.parseHubId)(text);
        return [id, revision, subfolder];
    };
    strict_1.default.deepEqual(read("org/name"), ["org/name", undefined, undefined]);
    strict_1.default.deepEqual(read("gpt2"), ["gpt2", undefined, undefined]);
    strict_1.default.deepEqual(read("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B@main"), ["deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "main", undefined]);
    strict_1.default.deepEqual(read("org/name@refs/pr/3"), ["org/name", "refs/pr/3", undefined]);
    strict_1.default.deepEqual(read("hf://org/name@v1"), ["org/name", "v1", undefined]);
    strict_1.default.deepEqual(read("hf://models/org/name"), ["org/name", undefined, undefined]);
    strict_1.default.deepEqual(read("https://huggingface.co/org/name"), ["org/name", undefined, undefined]);
    strict_1.default.deepEqual(read("https://huggingface.co/gpt2/tree/main"), ["gpt2", "main", undefined]);
    strict_1.default.deepEqual(read("https://hf.co/org/name/tree/refs%2Fpr%2F1/layers.10.mlp?x#y"), ["org/name", "refs/pr/1", "layers.10.mlp"]);
    for (const text of ["", "/abs/path", "./here", "../up", "a/b/c", "a//b", "org/", "org/.hidden", "a--b/c", "org/x..y", "org/name.git", "org/na me", "datasets/org/name", "hf://datasets/org/name", "https://example.com/org/name", "https://huggingface.co/", "https://huggingface.co/org/name/blob/main/x", "https://huggingface.co/org/name/tree", "C:\\models", "~/models", "org/name@", "org/name@../x", "org/name@a b", "org/name@x.lock", "https://huggingface.co/a%zz", "https://huggingface.co/org/name/tree/main/..%2F..%2Fx"]) {
        strict_1.default.equal((0, hubname_1.isHubId)(text), false, text);
        strict_1.default.throws(() => (0, hubname_1.parseHubId)(text), (error) => error instanceof errors_1.HubError || error instanceof errors_1.OptionError, text);
    }
    strict_1.default.equal((0, hubname_1.repositoryFolder)("org/name"), "models--org--name");
    strict_1.default.equal((0, hubname_1.repositoryFolder)("gpt2"), "models--gpt2");
});
(0, node_test_1.test)("paths that stay where they are put", () => {
    for (const path of ["a", "a/b.c", "Ünï/ö", ".gitattributes", "a..b", "A", "-x"])
        strict_1.default.ok((0, hubname_1.isSafePath)(path), path);
    for (const path of ["", ".", "..", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b", "a\0", "a\u0007", "c:x", "x".repeat(1025)])
        strict_1.default.ok(!(0, hubname_1.isSafePath)(path), path);
});
(0, node_test_1.test)("the next page of a Link header", () => {
    strict_1.default.equal((0, hubname_1.nextPage)(null), undefined);
    strict_1.default.equal((0, hubname_1.nextPage)('<https://h/a?cursor=x,y>; rel="next"'), "https://h/a?cursor=x,y");
    strict_1.default.equal((0, hubname_1.nextPage)('</first>; rel="first", </second>; title="t"; rel=next'), "/second");
    strict_1.default.equal((0, hubname_1.nextPage)('</first>; rel="prev"'), undefined);
});
(0, node_test_1.test)("the list of a commit is kept and read as Python keeps it; one of another version is not used", () => {
    const files = [
        { path: "b", size: 3, oid: "1".repeat(40), sha256: "2".repeat(64), xetHash: "3".repeat(64) },
        { path: "a", size: 1, oid: "4".repeat(40) },
    ];
    strict_1.default.deepEqual(JSON.parse((0, hubname_1.treeText)(files)), {
        format_version: 1,
        files: {
            a: { size: 1, blob_id: "4".repeat(40) },
            b: { size: 3, blob_id: "1".repeat(40), lfs_sha256: "2".repeat(64), lfs_size: 3, xet_hash: "3".repeat(64) },
        },
    });
    strict_1.default.deepEqual((0, hubname_1.readTreeText)((0, hubname_1.treeText)(files)), [files[1], files[0]]);
    strict_1.default.equal((0, hubname_1.readTreeText)((0, hubname_1.treeText)(files).replace('"format_version": 1', '"format_version": 2')), undefined);
    strict_1.default.equal((0, hubname_1.readTreeText)((0, hubname_1.treeText)(files).replace('"a"', '"../a"')), undefined);
    strict_1.default.equal((0, hubname_1.readTreeText)("{"), undefined);
});
(0, node_test_1.test)("files are picked by name, which must be there, by pattern, which need not, or by a function", () => {
    const files = ["a.json", "b.safetensors", "c/a.json"].map((path) => ({ path, size: 1 }));
    const names = (wanted) => (0, hubname_1.select)(files, wanted, "x").map(({ path }) => path);
    strict_1.default.deepEqual(names([/json$/g, "a.json"]), ["a.json", "c/a.json"]);
    strict_1.default.deepEqual(names((list) => [list[1], "a.json"]), ["a.json", "b.safetensors"]);
    strict_1.default.throws(() => names(["a.json", "d"]), /^HubError: x: expected d, found a\.json, b\.safetensors, c\/a\.json/);
    strict_1.default.throws(() => names([/gguf/]), errors_1.HubError);
    strict_1.default.throws(() => names([]), errors_1.HubError);
    strict_1.default.throws(() => names(() => []), errors_1.HubError);
});
//# sourceMappingURL=hubname.test.js.map