"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const node_child_process_1 = require("node:child_process");
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const promises_1 = __importDefault(require("node:fs/promises"));
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const hub_1 = require("../../src/adapters/hub");
const hubcache_1 = require("../../src/adapters/hubcache");
const errors_1 = require("../../src/core/errors");
const hub_server_1 = require("./hub-server");
for (const name of Object.keys(process.env))
    if (/^(HF_|HUGGING|TRANSFORMERS_)/.test(name))
        delete process.env[name];
const A = "a".repeat(40);
const B = "b".repeat(40);
const ID = "org/tiny-model";
const config = Buffer.from(JSON.stringify({ model_type: "llama" }));
const weights = (0, node_crypto_1.randomBytes)(300_000);
const model = (extra = {}) => ({
    revisions: { main: A, "refs/pr/1": B },
    files: {
        "config.json": { content: config }, "empty.txt": { content: Buffer.alloc(0) }, "sub/folder/cfg é.json": { content: Buffer.from("{}") },
        "model.safetensors": { content: weights, lfs: true }, "other.bin": { content: Buffer.from("not wanted"), lfs: true },
    },
    ...extra,
});
/** A hub, an empty cache and a home without a token, for the length of one test. */
async function bench(repositories, work, page) {
    const hub = await (0, hub_server_1.startHub)(repositories, page);
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-hub-"));
    const cache = (0, node_path_1.join)(folder, "hub");
    process.env.HF_HOME = folder;
    const get = (options = {}, name = ID) => (0, hub_1.downloadSnapshot)(name, { files: ["config.json", "model.safetensors"], cache, endpoint: hub.endpoint, retryDelay: 0.01, ...options });
    try {
        await work({ hub, cache, get });
    }
    finally {
        delete process.env.HF_HOME;
        globalThis[Symbol.for("saelab.interrupt")] = { requested: false };
        await hub.close();
        (0, node_fs_1.rmSync)(folder, { recursive: true, force: true });
    }
}
const repositoryIn = (cache, id = ID) => (0, node_path_1.join)(cache, `models--${id.replace("/", "--")}`);
const blobOf = (cache, name) => (0, node_path_1.join)(repositoryIn(cache), "blobs", name);
const partOf = (cache) => `${blobOf(cache, (0, hub_server_1.sha256)(weights))}.saelab.incomplete`;
const bodies = (hub) => hub.seen.filter(({ path }) => !path.startsWith("/api/"));
const fails = (promise, pattern, type = errors_1.HubError) => strict_1.default.rejects(promise, (error) => {
    strict_1.default.ok(error instanceof type, `${error.name}: ${error.message}`);
    strict_1.default.match(error.message, pattern);
    strict_1.default.ok(!/hf_[a-z]/.test(error.message), "a token is never shown");
    return true;
});
/** Nothing was put into the cache, or only a list and a lock's folder. */
const nothingIn = (cache) => strict_1.default.equal((0, node_fs_1.existsSync)((0, node_path_1.join)(repositoryIn(cache), "snapshots")), false);
(0, node_test_1.test)("a snapshot: contents under their hashes, links, the revision and the list on record", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const { folder, commit, files } = await get({ files: ["config.json", /\.safetensors$/, /^sub\//, "empty.txt", /none/] });
    strict_1.default.equal(commit, A);
    strict_1.default.equal(folder, (0, node_path_1.join)(repositoryIn(cache), "snapshots", A));
    strict_1.default.deepEqual(files, ["config.json", "empty.txt", "model.safetensors", "sub/folder/cfg é.json"]);
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "model.safetensors")), weights);
    strict_1.default.equal((0, node_fs_1.readlinkSync)((0, node_path_1.join)(folder, "model.safetensors")), `../../blobs/${(0, hub_server_1.sha256)(weights)}`);
    strict_1.default.equal((0, node_fs_1.readlinkSync)((0, node_path_1.join)(folder, "config.json")), `../../blobs/${(0, hub_server_1.gitHash)(config)}`);
    strict_1.default.equal((0, node_fs_1.readlinkSync)((0, node_path_1.join)(folder, "sub/folder/cfg é.json")), `../../../../blobs/${(0, hub_server_1.gitHash)(Buffer.from("{}"))}`);
    strict_1.default.equal((0, node_fs_1.statSync)((0, node_path_1.join)(folder, "empty.txt")).size, 0);
    strict_1.default.equal((0, node_fs_1.readFileSync)((0, node_path_1.join)(repositoryIn(cache), "refs/main"), "utf8"), A);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(repositoryIn(cache)).sort(), ["blobs", "refs", "snapshots", "trees"]);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)((0, node_path_1.join)(repositoryIn(cache), "blobs")).sort(), [(0, hub_server_1.sha256)(weights), (0, hub_server_1.gitHash)(config), (0, hub_server_1.gitHash)(Buffer.from("{}")), (0, hub_server_1.gitHash)(Buffer.alloc(0))].sort());
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)((0, node_path_1.join)(cache, ".locks", "models--org--tiny-model")), [], "locks are given back");
    strict_1.default.ok(bodies(hub).every(({ path }) => !path.includes("other.bin")));
    strict_1.default.match(hub.seen[0].headers["user-agent"], /^saelab\/\d/);
}));
(0, node_test_1.test)("what is there is not asked for: one request for a branch, none for a commit, none offline", () => bench({ [ID]: model() }, async ({ hub, get }) => {
    const first = await get();
    hub.seen.length = 0;
    strict_1.default.deepEqual(await get(), first);
    strict_1.default.deepEqual(hub.seen.map(({ path }) => path), [`/api/models/${ID}/revision/main`]);
    hub.seen.length = 0;
    strict_1.default.deepEqual(await get({ revision: A, files: (files) => files.filter(({ path }) => ["config.json", "model.safetensors"].includes(path)) }), first);
    strict_1.default.deepEqual(await get({}, `${ID}@${A}`), first);
    strict_1.default.deepEqual(await get({ offline: true }), first);
    process.env.HF_HUB_OFFLINE = "1";
    try {
        strict_1.default.deepEqual(await get(), first);
        await fails(get({ files: ["config.json", "other.bin"] }), /Missing: other\.bin\. Run once online/);
        await fails(get({ revision: "refs/pr/1" }), /no request may be made.*HF_HUB_OFFLINE.*Nothing of it is in/);
    }
    finally {
        delete process.env.HF_HUB_OFFLINE;
    }
    strict_1.default.equal(hub.seen.length, 0);
}));
(0, node_test_1.test)("a revision with slashes, in the name, as an option; a subfolder; two that contradict", () => bench({ [ID]: model() }, async ({ cache, get }) => {
    const { folder, commit } = await get({ files: ["config.json"] }, `hf://${ID}@refs/pr/1`);
    strict_1.default.equal(commit, B);
    strict_1.default.ok((0, node_fs_1.existsSync)((0, node_path_1.join)(folder, "config.json")));
    strict_1.default.equal((0, node_fs_1.readFileSync)((0, node_path_1.join)(repositoryIn(cache), "refs/refs/pr/1"), "utf8"), B);
    const sub = await get({ files: [/json$/] }, `https://huggingface.co/${ID}/tree/main/sub/folder`);
    strict_1.default.deepEqual(sub, { folder: (0, node_path_1.join)(repositoryIn(cache), "snapshots", A, "sub/folder"), commit: A, files: ["cfg é.json"] });
    strict_1.default.deepEqual(await get({ files: ["folder/cfg é.json"], subfolder: "sub/", offline: true }), { folder: (0, node_path_1.join)(repositoryIn(cache), "snapshots", A, "sub"), commit: A, files: ["folder/cfg é.json"] });
    await fails(get({ revision: "main" }, `${ID}@other`), /expected one, found main and, in the name, other/, errors_1.OptionError);
    await fails(get({ revision: "../x" }), /expected a branch, a tag or a commit/, errors_1.OptionError);
    await fails(get({ subfolder: "../x" }), /expected a folder within the repository/, errors_1.OptionError);
}));
(0, node_test_1.test)("a list of several pages is read whole; files and hashes as listed", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const { commit, files } = await (0, hub_1.listFiles)(ID, { cache, endpoint: hub.endpoint });
    strict_1.default.equal(commit, A);
    strict_1.default.deepEqual(files.map(({ path, size }) => [path, size]), [["config.json", config.length], ["empty.txt", 0], ["model.safetensors", weights.length], ["other.bin", 10], ["sub/folder/cfg é.json", 2]]);
    strict_1.default.equal(files[2].sha256, (0, hub_server_1.sha256)(weights));
    strict_1.default.equal(files[0].oid, (0, hub_server_1.gitHash)(config));
    strict_1.default.equal(hub.seen.filter(({ path }) => path.includes("/tree/")).length, 3);
    strict_1.default.equal((0, node_fs_1.existsSync)(cache), false, "a list writes nothing");
    await get({ files: ["sub/folder/cfg é.json"] });
    strict_1.default.deepEqual((await (0, hub_1.listFiles)(ID, { cache, offline: true })).files.map(({ path }) => path), files.map(({ path }) => path));
}, 2));
(0, node_test_1.test)("the next page is asked of the hub in use, whatever address the list names", () => bench({ [ID]: model() }, async ({ hub, cache }) => {
    hub.fault = ({ path, nth }) => (path.includes("/tree/") && nth === 0 ? { body: "[]", headers: { link: `<${hub.cdn}/api/x?recursive=true&cursor=4>; rel="next"` } } : undefined);
    const { files } = await (0, hub_1.listFiles)(ID, { cache, endpoint: hub.endpoint });
    strict_1.default.deepEqual(files.map(({ path }) => path), ["sub/folder/cfg é.json"]);
    strict_1.default.ok(hub.seen.every(({ origin }) => origin === "hub"));
    hub.fault = ({ path }) => (path.includes("/tree/") ? { body: "[]", headers: { link: `<?cursor=4>; rel="next"` } } : undefined);
    await fails((0, hub_1.listFiles)(ID, { cache, endpoint: hub.endpoint }), /expected a list with an end/);
}));
(0, node_test_1.test)("the token goes to the hub and nowhere else; it comes from the option, the environment, the file", () => bench({ [ID]: model({ private: true }) }, async ({ hub, cache, get }) => {
    await fails(get(), /found 401 \(Repository not found\).*no token was sent.*put it into HF_TOKEN or into .*token\./);
    await fails(get({ token: "hf_wrong" }), /the token in use is not valid/);
    await fails(get({ token: "hf_a b" }), /token: expected one word/, errors_1.OptionError);
    nothingIn(cache);
    hub.seen.length = 0;
    await get({ token: hub_server_1.TOKEN });
    const [atHub, atCdn] = ["hub", "cdn"].map((origin) => hub.seen.filter((seen) => seen.origin === origin));
    strict_1.default.ok(atHub.length >= 4 && atHub.every(({ headers }) => headers.authorization === `Bearer ${hub_server_1.TOKEN}`));
    strict_1.default.equal(atCdn.length, 1);
    strict_1.default.equal(atCdn[0].headers.authorization, undefined);
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(process.env.HF_HOME, "token"), `${hub_server_1.TOKEN}\n`);
    await get({ files: ["empty.txt"] });
    await fails(get({ files: ["empty.txt"], token: false, revision: "refs/pr/1" }), /found 401/);
    process.env.HF_TOKEN = "hf_wrong"; // goes before the file
    await fails(get({ files: ["other.bin"] }), /token in use is not valid/);
    process.env.HF_TOKEN = hub_server_1.TOKEN;
    await get({ files: ["other.bin"] });
    delete process.env.HF_TOKEN;
}));
(0, node_test_1.test)("redirects: within the hub the token stays, a renamed model is found; away from it once, it is gone for good; a ring ends", () => bench({ [ID]: model({ private: true }) }, async ({ hub, get }) => {
    hub.fault = ({ path }) => (path.includes("old-name") ? { status: 307, headers: { location: path.replace("old-name", "tiny-model") } } : undefined);
    const { files } = await get({ token: hub_server_1.TOKEN }, "org/old-name");
    strict_1.default.deepEqual(files, ["config.json", "model.safetensors"]);
    hub.fault = ({ origin, path }) => (path.endsWith("/empty.txt") ? { status: 302, headers: { location: `${hub.cdn}/back` } } : origin === "cdn" ? { status: 302, headers: { location: `${hub.endpoint}/elsewhere` } } : undefined);
    await strict_1.default.rejects(get({ token: hub_server_1.TOKEN, files: ["empty.txt", "other.bin"], retries: 0 }), errors_1.HubError);
    strict_1.default.equal(hub.seen.find(({ path }) => path === "/elsewhere").headers.authorization, undefined);
    hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: path } } : undefined);
    await fails(get({ token: hub_server_1.TOKEN, files: ["other.bin"] }), /more than 9 redirects/);
    hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: "file:///etc/passwd" } } : undefined);
    await fails(get({ token: hub_server_1.TOKEN, files: ["other.bin"] }), /expected a redirect to an https address/);
}));
(0, node_test_1.test)("what the hub refuses is said with its remedy", () => bench({ [ID]: model(), "org/gated": model({ gated: true }) }, async ({ hub, cache, get }) => {
    await fails(get({}, "org/none"), /org\/none: expected a model at .*\/org\/none, found 401 .*there is none of that name, or it is private/);
    await fails(get({ token: hub_server_1.TOKEN }, "org/none"), /found 404 .*none of that name, or the token in use may not see it/);
    await fails(get({ revision: "v9" }), /expected the revision "v9", found 404 \(Invalid rev id: v9\)/);
    await fails(get({}, "org/gated"), /org\/gated: config\.json: .*Sign in and accept the terms at http.*\/org\/gated; then make a token/);
    hub.fault = ({ path }) => (path.includes("resolve") ? { status: 403 } : undefined);
    await fails(get({ token: hub_server_1.TOKEN }), /found 403: .*accept the terms.*the token in use must be of that account/);
    hub.fault = ({ path }) => (path.includes("resolve") ? { status: 404, headers: { "x-error-code": "EntryNotFound" } } : undefined);
    await fails(get(), /expected the file config\.json, found 404/);
    hub.fault = () => undefined;
    await fails(get({ files: ["config.json", "model-9.safetensors"] }), /expected model-9\.safetensors, found config\.json, empty\.txt, /);
    await fails(get({ files: [/\.gguf$/] }), /expected files like \/\\\.gguf\$\/, found none among config\.json/);
    await strict_1.default.rejects(get({ files: () => { throw new TypeError("the caller's own"); } }), /the caller's own/);
    nothingIn(cache);
}));
(0, node_test_1.test)("a list that is none: damaged, of other things, with paths that lead out", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const answer = async (where, body, pattern) => {
        hub.fault = ({ path }) => (path.includes(where) ? { body } : undefined);
        await fails(get({ files: [/./] }), pattern);
    };
    await answer("/revision/", "<html>Sign in", /expected JSON, found "<html>Sign in"/);
    await answer("/revision/", "null", /expected the commit/);
    await answer("/revision/", JSON.stringify({ sha: "../../x" }), /expected the commit .*found "\.\.\/\.\.\/x"/);
    await answer("/tree/", "{}", /expected a list of files/);
    await answer("/tree/", "[null]", /expected a list of files .* found null/);
    const entry = (path, extra = {}) => JSON.stringify([{ type: "file", path, size: 1, oid: "c".repeat(40), ...extra }]);
    await answer("/tree/", entry(7), /expected a list of files/);
    await answer("/tree/", entry("a", { oid: "../../../x" }), /expected a list of files/);
    await answer("/tree/", entry("a", { lfs: { oid: "../x", size: 1 } }), /expected a list of files/);
    await answer("/tree/", entry("a", { size: -1 }), /expected a list of files/);
    for (const path of ["../x", "a/../../x", "/etc/x", "a\\..\\x", "a//b", "", ".", "a/.", "C:/x", "a\0b", "a\nb"])
        await answer("/tree/", entry(path), /expected paths within the repository.*Nothing was written/);
    const two = (...paths) => JSON.stringify(paths.map((path) => JSON.parse(entry(path))[0]));
    await answer("/tree/", two("a", "a/b"), /expected "a" to be a file or a folder, found both/);
    await answer("/tree/", two("a", "a"), /expected each file once/);
    strict_1.default.equal((0, node_fs_1.existsSync)(cache), false);
}));
(0, node_test_1.test)("failures that pass are tried again: 429 with its wait, 500, a torn connection, silence; at last they are an error", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    hub.fault = ({ origin, nth, path }) => {
        if (path.includes("/revision/"))
            return [{ status: 429, headers: { "retry-after": "0" } }, { status: 500 }][nth];
        if (path.includes("/tree/"))
            return nth === 0 ? { cut: 10 } : undefined;
        if (origin === "cdn")
            return [{ status: 503 }, { silent: true }, { cut: 100_000 }][nth];
        return undefined;
    };
    const states = [];
    await get({ patience: 0.3, progress: (state) => states.push(state) });
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)(blobOf(cache, (0, hub_server_1.sha256)(weights))), weights);
    const atCdn = hub.seen.filter(({ origin }) => origin === "cdn");
    strict_1.default.deepEqual(atCdn.map(({ headers }) => headers.range), [undefined, undefined, undefined, "bytes=100000-"]);
    strict_1.default.match(String(atCdn[3].headers["if-range"]), /^"cdn-/);
    strict_1.default.equal(atCdn[3].sent, 200_000);
    const last = states.at(-1);
    strict_1.default.deepEqual([last.done, last.total, last.unit, last.detail], [301, 301, "kB", "model.safetensors"]);
    strict_1.default.ok(states.every(({ done }) => done >= 0 && done <= 301));
    hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 500 } : undefined);
    hub.seen.length = 0;
    await fails(get({ files: ["other.bin"], retries: 2 }), /found 500\. Tried 3 times/);
    strict_1.default.equal(bodies(hub).length, 3);
    hub.fault = ({ origin }) => (origin === "cdn" ? { cut: 4 } : undefined);
    await fails(get({ files: ["other.bin"], retries: 0 }), /(other\.bin: expected 10 bytes, found that the connection ends after 4|expected a connection, found).* Tried 1 time:/);
}));
(0, node_test_1.test)("a wait that the server asks for is kept, and can be interrupted", () => bench({ [ID]: model() }, async ({ hub, get }) => {
    hub.fault = ({ path, nth }) => (path.includes("/revision/") && nth === 0 ? { status: 429, headers: { "retry-after": "200" } } : undefined);
    await fails(get({ files: ["config.json"], retryDelay: 0, signal: AbortSignal.timeout(500) }), /Interrupted/, errors_1.InterruptError);
    strict_1.default.equal(hub.seen.length, 1);
}));
(0, node_test_1.test)("a part is gone on with: by range, from the beginning where the server has none, or cannot; never past its end", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const again = async (part) => {
        (0, node_fs_1.rmSync)(repositoryIn(cache), { recursive: true, force: true });
        (0, node_fs_1.mkdirSync)((0, node_path_1.join)(repositoryIn(cache), "blobs"), { recursive: true });
        (0, node_fs_1.writeFileSync)(partOf(cache), part);
        hub.seen.length = 0;
        const { folder } = await get({ files: ["model.safetensors"] });
        strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "model.safetensors")), weights);
        strict_1.default.deepEqual((0, node_fs_1.readdirSync)((0, node_path_1.join)(repositoryIn(cache), "blobs")), [(0, hub_server_1.sha256)(weights)]);
    };
    const atCdn = () => hub.seen.filter(({ origin }) => origin === "cdn").map(({ status, sent }) => [status, sent]);
    await again(weights.subarray(0, 123_456));
    strict_1.default.deepEqual(atCdn(), [[206, weights.length - 123_456]]);
    await again(weights);
    strict_1.default.deepEqual(atCdn(), [], "a whole part is only checked");
    await again(Buffer.concat([weights, Buffer.from("too long")]));
    strict_1.default.deepEqual(atCdn(), [[200, weights.length]]);
    await again((0, node_crypto_1.randomBytes)(1000)); // of something else: found out by its hash, fetched anew
    strict_1.default.deepEqual(atCdn(), [[206, weights.length - 1000], [200, weights.length]]);
    hub.fault = ({ origin }) => (origin === "cdn" ? { noRange: true } : undefined);
    await again(weights.subarray(0, 5));
    strict_1.default.deepEqual(atCdn(), [[200, weights.length]]);
    hub.fault = ({ origin, range }) => (origin === "cdn" && range ? { status: 416 } : undefined);
    await again(weights.subarray(0, 5));
    strict_1.default.deepEqual(atCdn().map(([status]) => status), [416, 200]);
    hub.fault = ({ origin, range }) => (origin === "cdn" && range ? { status: 206, headers: { "content-range": `bytes 0-9/${weights.length}` }, body: "wrong part" } : undefined);
    await again(weights.subarray(0, 5));
    strict_1.default.deepEqual(atCdn().map(([status]) => status), [206, 200]);
}));
(0, node_test_1.test)("a content that is not what its hash says is fetched once more, then an error, and nothing of it stays", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    hub.fault = ({ origin, nth }) => (origin === "cdn" && nth === 0 ? { flip: true } : undefined);
    await get();
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)(blobOf(cache, (0, hub_server_1.sha256)(weights))), weights);
    (0, node_fs_1.rmSync)(repositoryIn(cache), { recursive: true });
    hub.fault = ({ origin, path }) => (origin === "cdn" || path.endsWith("/empty.txt") ? { flip: true } : undefined);
    await fails(get(), /model\.safetensors: expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}, twice/);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)((0, node_path_1.join)(repositoryIn(cache), "blobs")), [(0, hub_server_1.gitHash)(config)]);
    hub.fault = ({ path }) => (path.endsWith("cfg é.json") ? { flip: true } : undefined);
    await fails(get({ files: [/^sub/] }), /expected git SHA-1 [0-9a-f]{40}, found/);
    hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: `${hub.cdn}/x`, "x-linked-etag": `"${"0".repeat(64)}"` } } : undefined);
    await fails(get({ files: ["other.bin"] }), /expected SHA-256 .*, as the hub lists it, found 0{64} announced/);
    hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { body: "longer than it was listed" } : undefined);
    await fails(get({ files: ["other.bin"] }), /expected 10 bytes, as the hub lists it, found 25/);
    hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: `${hub.cdn}/x`, "x-repo-commit": B } } : undefined);
    await fails(get({ files: ["other.bin"] }), new RegExp(`expected the file of commit ${A}, found that of ${B}`));
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)((0, node_path_1.join)(repositoryIn(cache), "blobs")), [(0, hub_server_1.gitHash)(config)]);
}));
(0, node_test_1.test)("an interrupt keeps what has come, and the same call goes on; a signal does the same", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    hub.fault = ({ origin, nth }) => (origin === "cdn" && nth < 2 ? { drip: 4096 } : undefined);
    const flag = (globalThis[Symbol.for("saelab.interrupt")] = { requested: false });
    await fails(get({ progress: ({ detail, done }) => (flag.requested ||= detail === "model.safetensors" && done > 20) }), /^Interrupted\. What has come of org\/tiny-model@main is kept in .*: the same call goes on/, errors_1.InterruptError);
    flag.requested = false;
    const kept = (0, node_fs_1.statSync)(partOf(cache)).size;
    strict_1.default.ok(kept > 20_000 && kept < weights.length, String(kept));
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)(partOf(cache)), weights.subarray(0, kept));
    const control = new AbortController();
    await fails(get({ signal: control.signal, progress: ({ done }) => done * 1000 > kept + 20_000 && control.abort() }), /Interrupted/, errors_1.InterruptError);
    await get();
    const atCdn = hub.seen.filter(({ origin }) => origin === "cdn");
    strict_1.default.equal(atCdn[1].headers.range, `bytes=${kept}-`);
    strict_1.default.ok(atCdn[2].sent < weights.length - kept);
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)(blobOf(cache, (0, hub_server_1.sha256)(weights))), weights);
    hub.fault = ({ path }) => (path.includes("/revision/") ? { silent: true } : undefined);
    await fails(get({ signal: AbortSignal.timeout(150) }), /Interrupted/, errors_1.InterruptError);
}));
/** Another process that downloads; resolves with its exit code or signal. */
function child(hub, cache) {
    const code = `require(${JSON.stringify((0, node_path_1.join)(__dirname, "../../src/adapters/hub.js"))}).downloadSnapshot(${JSON.stringify(ID)}, { files: ["config.json", "model.safetensors"] }).then(({ commit }) => { if (commit !== "${A}") process.exit(3); })`;
    const started = (0, node_child_process_1.spawn)(process.execPath, ["-e", code], { env: { ...process.env, HF_ENDPOINT: `${hub.endpoint}/`, HF_HUB_CACHE: cache }, stdio: ["ignore", "inherit", "inherit"] });
    return { process: started, ended: new Promise((resolve) => started.on("exit", (exit, signal) => resolve(exit ?? signal))) };
}
(0, node_test_1.test)("a process that is killed leaves a part and a lock: the next fetches only the rest", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const { process: victim, ended } = child(hub, cache);
    hub.fault = ({ origin, nth }) => {
        if (origin !== "cdn" || nth > 0)
            return undefined;
        const watch = setInterval(() => {
            if (!(0, node_fs_1.existsSync)(partOf(cache)) || (0, node_fs_1.statSync)(partOf(cache)).size < 50_000)
                return;
            clearInterval(watch);
            victim.kill("SIGKILL");
        }, 10);
        return { drip: 10_000 };
    };
    strict_1.default.equal(await ended, "SIGKILL");
    const kept = (0, node_fs_1.statSync)(partOf(cache)).size;
    strict_1.default.ok(kept >= 50_000 && kept < weights.length);
    strict_1.default.equal((0, node_fs_1.readdirSync)((0, node_path_1.join)(cache, ".locks", "models--org--tiny-model")).length, 1);
    const { folder } = await get();
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "model.safetensors")), weights);
    strict_1.default.deepEqual(hub.seen.filter(({ origin }) => origin === "cdn").map(({ headers }) => headers.range), [undefined, `bytes=${kept}-`]);
    strict_1.default.equal(hub.seen.filter(({ origin }) => origin === "cdn")[1].sent, weights.length - kept);
}));
(0, node_test_1.test)("two processes, and two calls of one, fetch each file once", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    hub.fault = ({ origin }) => (origin === "cdn" ? { drip: 20_000 } : undefined);
    const others = [child(hub, cache), child(hub, cache)];
    const ours = await Promise.all([get(), get()]);
    strict_1.default.deepEqual(await Promise.all(others.map(({ ended }) => ended)), [0, 0]);
    strict_1.default.deepEqual(ours[0], ours[1]);
    strict_1.default.equal(hub.seen.filter(({ origin }) => origin === "cdn").length, 1);
    strict_1.default.equal(bodies(hub).filter(({ path }) => path.endsWith("config.json")).length, 1);
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(ours[0].folder, "model.safetensors")), weights);
}));
(0, node_test_1.test)("a lock whose process does nothing ends in an error that names it", () => bench({ [ID]: model() }, async ({ cache, get }) => {
    const lock = (0, node_path_1.join)(cache, ".locks", "models--org--tiny-model", `${(0, hub_server_1.gitHash)(config)}.saelab.lock`);
    (0, node_fs_1.mkdirSync)((0, node_path_1.join)(lock, ".."), { recursive: true });
    (0, node_fs_1.writeFileSync)(lock, JSON.stringify({ pid: process.pid, host: "another-machine", started: null, since: "2026-01-01" }));
    await fails(get({ patience: 0.04 }), /expected the download of another process to go on.*another-machine, since 2026-01-01.*delete this file/);
}));
(0, node_test_1.test)("without a network the last commit is used if it is all there, else the error says how to look", () => bench({ [ID]: model() }, async ({ hub, get }) => {
    const first = await get();
    await hub.close();
    strict_1.default.deepEqual(await get({ retries: 1 }), first);
    await fails(get({ files: ["other.bin"], retries: 1 }), /expected a connection, found ECONNREFUSED\. Is the network up, and HF_ENDPOINT right\? With HF_HUB_OFFLINE=1/);
    await fails(get({}, "org/other"), /ECONNREFUSED.*Tried 3 times/);
}));
(0, node_test_1.test)("what others put into the cache is used: no list, copies for links, a content that lost its end", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const { folder } = await get();
    (0, node_fs_1.rmSync)((0, node_path_1.join)(repositoryIn(cache), "trees"), { recursive: true }); // as older versions of huggingface_hub leave it
    hub.seen.length = 0;
    await get({ revision: A });
    await get({ offline: true, files: [/./] });
    strict_1.default.equal(hub.seen.length, 0);
    strict_1.default.deepEqual((await get({ revision: A, files: [/\.json$/] })).files, ["config.json", "sub/folder/cfg é.json"], "a pattern may mean files that are not there yet");
    (0, node_fs_1.unlinkSync)((0, node_path_1.join)(folder, "config.json"));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "config.json"), config); // a copy
    (0, node_fs_1.writeFileSync)(blobOf(cache, (0, hub_server_1.sha256)(weights)), weights.subarray(0, 1000)); // a bad disk
    hub.seen.length = 0;
    await get({ revision: A });
    strict_1.default.deepEqual(bodies(hub).map(({ path }) => path.slice(0, 30)), [`/${ID}/resolve/${A}`.slice(0, 30), `/${(0, hub_server_1.sha256)(weights)}`.slice(0, 30)]);
    strict_1.default.ok(!(0, node_fs_1.lstatSync)((0, node_path_1.join)(folder, "config.json")).isSymbolicLink());
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "model.safetensors")), weights);
    (0, node_fs_1.unlinkSync)((0, node_path_1.join)(folder, "config.json"));
    (0, node_fs_1.symlinkSync)("../../blobs/none", (0, node_path_1.join)(folder, "config.json")); // a link to nothing
    await get({ revision: A });
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "config.json")), config);
}));
(0, node_test_1.test)("a mirror goes before everything; what it lacks comes from the hub; a revision it cannot vouch for too", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const mirror = (0, node_path_1.join)(cache, "../mirror");
    await fails(get({ mirror }), /mirror: expected a folder of models \(mirror\), found none/);
    (0, node_fs_1.mkdirSync)((0, node_path_1.join)(mirror, ID), { recursive: true });
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(mirror, ID, "config.json"), config);
    const plain = { folder: (0, node_path_1.join)(mirror, ID), commit: undefined, files: ["config.json"] };
    strict_1.default.deepEqual(await get({ mirror, files: ["config.json"] }), plain);
    strict_1.default.deepEqual(await get({ mirror, files: [/json/], offline: true }), plain);
    strict_1.default.equal(hub.seen.length, 0);
    await fails(get({ mirror, offline: true }), /nor all that is wanted in .*mirror/);
    const { folder, commit } = await get({ mirror });
    strict_1.default.equal(commit, A);
    strict_1.default.equal((await get({ mirror, files: ["config.json"], revision: A })).folder, folder);
    hub.seen.length = 0;
    strict_1.default.deepEqual(await get({ mirror: cache, cache: (0, node_path_1.join)(cache, "../unused") }), { folder, commit: A, files: ["config.json", "model.safetensors"] });
    strict_1.default.equal(hub.seen.length, 0);
}));
(0, node_test_1.test)("where a file system has no links, files are copied; where it has no room, nothing is begun", async (t) => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
    const none = t.mock.method(promises_1.default, "symlink", async () => {
        throw Object.assign(new Error("no links here"), { code: "EPERM" });
    });
    const { folder } = await get();
    strict_1.default.ok(none.mock.callCount() > 0);
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "model.safetensors")), weights);
    strict_1.default.ok(!(0, node_fs_1.lstatSync)((0, node_path_1.join)(folder, "model.safetensors")).isSymbolicLink());
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(folder), ["config.json", "model.safetensors"]);
    hub.seen.length = 0;
    await get({ revision: A });
    strict_1.default.equal(hub.seen.length, 0);
    t.mock.method(promises_1.default, "statfs", async () => ({ bavail: 10, bsize: 4096 }));
    await fails(get({ files: ["other.bin"] }), /expected 65 MB free .*found 1 MB/, errors_1.DiskError);
    strict_1.default.deepEqual(bodies(hub), []);
    strict_1.default.equal((0, node_fs_1.existsSync)((0, node_path_1.join)(cache, "models--org--tiny-model/blobs", (0, hub_server_1.sha256)(Buffer.from("not wanted")))), false);
}));
(0, node_test_1.test)("places come from the environment, as for Python", () => {
    const of = (env) => {
        const { cache, endpoint, offline, tokenFile } = (0, hubcache_1.hubSettings)({ HOME: process.env.HOME, ...env });
        return [cache, endpoint, offline, tokenFile];
    };
    strict_1.default.deepEqual(of({ XDG_CACHE_HOME: "/c" }), ["/c/huggingface/hub", "https://huggingface.co", false, "/c/huggingface/token"]);
    strict_1.default.deepEqual(of({ HF_HOME: "/h", HF_HUB_OFFLINE: "0" }), ["/h/hub", "https://huggingface.co", false, "/h/token"]);
    strict_1.default.deepEqual(of({ HF_HOME: "/h", HF_HUB_CACHE: "/x", HF_ENDPOINT: "http://e", HF_HUB_OFFLINE: "YES", HF_TOKEN_PATH: "/t" }), ["/x", "http://e", true, "/t"]);
    strict_1.default.ok(!of({ HF_HOME: "~/h" })[0].includes("~"));
});
(0, node_test_1.test)("options that make no sense, and an address that is none", () => bench({ [ID]: model() }, async ({ get }) => {
    await fails(get({ endpoint: "huggingface.co" }), /endpoint: expected an address/, errors_1.OptionError);
    await fails(get({ retries: -1 }), /retries: expected/, errors_1.OptionError);
    await fails(get({ retryDelay: NaN }), /retryDelay: expected/, errors_1.OptionError);
    await fails(get({ patience: 0 }), /patience: expected/, errors_1.OptionError);
    await fails(get({}, "a/b/c"), /expected a model of the hub/);
}));
//# sourceMappingURL=hub.test.js.map