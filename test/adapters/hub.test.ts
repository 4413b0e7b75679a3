import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import fsPromises from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { downloadSnapshot, listFiles, type DownloadOptions } from "../../src/adapters/hub";
import { hubSettings } from "../../src/adapters/hubcache";
import { DiskError, HubError, InterruptError, OptionError } from "../../src/core/errors";
import { gitHash, sha256, startHub, TOKEN, type FakeHub, type FakeRepository } from "./hub-server";

for (const name of Object.keys(process.env)) if (/^(HF_|HUGGING|TRANSFORMERS_)/.test(name)) delete process.env[name];

const A = "a".repeat(40);
const B = "b".repeat(40);
const ID = "org/tiny-model";
const config = Buffer.from(JSON.stringify({ model_type: "llama" }));
const weights = randomBytes(300_000);
const model = (extra: Partial<FakeRepository> = {}): FakeRepository => ({
  revisions: { main: A, "refs/pr/1": B },
  files: {
    "config.json": { content: config }, "empty.txt": { content: Buffer.alloc(0) }, "sub/folder/cfg é.json": { content: Buffer.from("{}") },
    "model.safetensors": { content: weights, lfs: true }, "other.bin": { content: Buffer.from("not wanted"), lfs: true },
  },
  ...extra,
});

type Bench = { hub: FakeHub; cache: string; get: (options?: Partial<DownloadOptions>, name?: string) => ReturnType<typeof downloadSnapshot> };

/** A hub, an empty cache and a home without a token, for the length of one test. */
async function bench(repositories: Record<string, FakeRepository>, work: (bench: Bench) => Promise<void>, page?: number): Promise<void> {
  const hub = await startHub(repositories, page);
  const folder = mkdtempSync(join(tmpdir(), "saelab-hub-"));
  const cache = join(folder, "hub");
  process.env.HF_HOME = folder;
  const get: Bench["get"] = (options = {}, name = ID) =>
    downloadSnapshot(name, { files: ["config.json", "model.safetensors"], cache, endpoint: hub.endpoint, retryDelay: 0.01, ...options });
  try {
    await work({ hub, cache, get });
  } finally {
    delete process.env.HF_HOME;
    (globalThis as any)[Symbol.for("saelab.interrupt")] = { requested: false };
    await hub.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const repositoryIn = (cache: string, id = ID): string => join(cache, `models--${id.replace("/", "--")}`);
const blobOf = (cache: string, name: string): string => join(repositoryIn(cache), "blobs", name);
const partOf = (cache: string): string => `${blobOf(cache, sha256(weights))}.saelab.incomplete`;
const bodies = (hub: FakeHub) => hub.seen.filter(({ path }) => !path.startsWith("/api/"));
const fails = (promise: Promise<unknown>, pattern: RegExp, type: new (...a: any[]) => Error = HubError) =>
  assert.rejects(promise, (error: Error) => {
    assert.ok(error instanceof type, `${error.name}: ${error.message}`);
    assert.match(error.message, pattern);
    assert.ok(!/hf_[a-z]/.test(error.message), "a token is never shown");
    return true;
  });
/** Nothing was put into the cache, or only a list and a lock's folder. */
const nothingIn = (cache: string): void => assert.equal(existsSync(join(repositoryIn(cache), "snapshots")), false);

test("a snapshot: contents under their hashes, links, the revision and the list on record", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const { folder, commit, files } = await get({ files: ["config.json", /\.safetensors$/, /^sub\//, "empty.txt", /none/] });
  assert.equal(commit, A);
  assert.equal(folder, join(repositoryIn(cache), "snapshots", A));
  assert.deepEqual(files, ["config.json", "empty.txt", "model.safetensors", "sub/folder/cfg é.json"]);
  assert.deepEqual(readFileSync(join(folder, "model.safetensors")), weights);
  assert.equal(readlinkSync(join(folder, "model.safetensors")), `../../blobs/${sha256(weights)}`);
  assert.equal(readlinkSync(join(folder, "config.json")), `../../blobs/${gitHash(config)}`);
  assert.equal(readlinkSync(join(folder, "sub/folder/cfg é.json")), `../../../../blobs/${gitHash(Buffer.from("{}"))}`);
  assert.equal(statSync(join(folder, "empty.txt")).size, 0);
  assert.equal(readFileSync(join(repositoryIn(cache), "refs/main"), "utf8"), A);
  assert.deepEqual(readdirSync(repositoryIn(cache)).sort(), ["blobs", "refs", "snapshots", "trees"]);
  assert.deepEqual(readdirSync(join(repositoryIn(cache), "blobs")).sort(), [sha256(weights), gitHash(config), gitHash(Buffer.from("{}")), gitHash(Buffer.alloc(0))].sort());
  assert.deepEqual(readdirSync(join(cache, ".locks", "models--org--tiny-model")), [], "locks are given back");
  assert.ok(bodies(hub).every(({ path }) => !path.includes("other.bin")));
  assert.match(hub.seen[0].headers["user-agent"]!, /^saelab\/\d/);
}));

test("what is there is not asked for: one request for a branch, none for a commit, none offline", () => bench({ [ID]: model() }, async ({ hub, get }) => {
  const first = await get();
  hub.seen.length = 0;
  assert.deepEqual(await get(), first);
  assert.deepEqual(hub.seen.map(({ path }) => path), [`/api/models/${ID}/revision/main`]);
  hub.seen.length = 0;
  assert.deepEqual(await get({ revision: A, files: (files) => files.filter(({ path }) => ["config.json", "model.safetensors"].includes(path)) }), first);
  assert.deepEqual(await get({}, `${ID}@${A}`), first);
  assert.deepEqual(await get({ offline: true }), first);
  process.env.HF_HUB_OFFLINE = "1";
  try {
    assert.deepEqual(await get(), first);
    await fails(get({ files: ["config.json", "other.bin"] }), /Missing: other\.bin\. Run once online/);
    await fails(get({ revision: "refs/pr/1" }), /no request may be made.*HF_HUB_OFFLINE.*Nothing of it is in/);
  } finally {
    delete process.env.HF_HUB_OFFLINE;
  }
  assert.equal(hub.seen.length, 0);
}));

test("a revision with slashes, in the name, as an option; a subfolder; two that contradict", () => bench({ [ID]: model() }, async ({ cache, get }) => {
  const { folder, commit } = await get({ files: ["config.json"] }, `hf://${ID}@refs/pr/1`);
  assert.equal(commit, B);
  assert.ok(existsSync(join(folder, "config.json")));
  assert.equal(readFileSync(join(repositoryIn(cache), "refs/refs/pr/1"), "utf8"), B);
  const sub = await get({ files: [/json$/] }, `https://huggingface.co/${ID}/tree/main/sub/folder`);
  assert.deepEqual(sub, { folder: join(repositoryIn(cache), "snapshots", A, "sub/folder"), commit: A, files: ["cfg é.json"] });
  assert.deepEqual(await get({ files: ["folder/cfg é.json"], subfolder: "sub/", offline: true }), { folder: join(repositoryIn(cache), "snapshots", A, "sub"), commit: A, files: ["folder/cfg é.json"] });
  await fails(get({ revision: "main" }, `${ID}@other`), /expected one, found main and, in the name, other/, OptionError);
  await fails(get({ revision: "../x" }), /expected a branch, a tag or a commit/, OptionError);
  await fails(get({ subfolder: "../x" }), /expected a folder within the repository/, OptionError);
}));

test("a list of several pages is read whole; files and hashes as listed", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const { commit, files } = await listFiles(ID, { cache, endpoint: hub.endpoint });
  assert.equal(commit, A);
  assert.deepEqual(files.map(({ path, size }) => [path, size]), [["config.json", config.length], ["empty.txt", 0], ["model.safetensors", weights.length], ["other.bin", 10], ["sub/folder/cfg é.json", 2]]);
  assert.equal(files[2].sha256, sha256(weights));
  assert.equal(files[0].oid, gitHash(config));
  assert.equal(hub.seen.filter(({ path }) => path.includes("/tree/")).length, 3);
  assert.equal(existsSync(cache), false, "a list writes nothing");
  await get({ files: ["sub/folder/cfg é.json"] });
  assert.deepEqual((await listFiles(ID, { cache, offline: true })).files.map(({ path }) => path), files.map(({ path }) => path));
}, 2));

test("the next page is asked of the hub in use, whatever address the list names", () => bench({ [ID]: model() }, async ({ hub, cache }) => {
  hub.fault = ({ path, nth }) => (path.includes("/tree/") && nth === 0 ? { body: "[]", headers: { link: `<${hub.cdn}/api/x?recursive=true&cursor=4>; rel="next"` } } : undefined);
  const { files } = await listFiles(ID, { cache, endpoint: hub.endpoint });
  assert.deepEqual(files.map(({ path }) => path), ["sub/folder/cfg é.json"]);
  assert.ok(hub.seen.every(({ origin }) => origin === "hub"));
  hub.fault = ({ path }) => (path.includes("/tree/") ? { body: "[]", headers: { link: `<?cursor=4>; rel="next"` } } : undefined);
  await fails(listFiles(ID, { cache, endpoint: hub.endpoint }), /expected a list with an end/);
}));

test("the token goes to the hub and nowhere else; it comes from the option, the environment, the file", () => bench({ [ID]: model({ private: true }) }, async ({ hub, cache, get }) => {
  await fails(get(), /found 401 \(Repository not found\).*no token was sent.*put it into HF_TOKEN or into .*token\./);
  await fails(get({ token: "hf_wrong" }), /the token in use is not valid/);
  await fails(get({ token: "hf_a b" }), /token: expected one word/, OptionError);
  nothingIn(cache);
  hub.seen.length = 0;
  await get({ token: TOKEN });
  const [atHub, atCdn] = ["hub", "cdn"].map((origin) => hub.seen.filter((seen) => seen.origin === origin));
  assert.ok(atHub.length >= 4 && atHub.every(({ headers }) => headers.authorization === `Bearer ${TOKEN}`));
  assert.equal(atCdn.length, 1);
  assert.equal(atCdn[0].headers.authorization, undefined);
  writeFileSync(join(process.env.HF_HOME!, "token"), `${TOKEN}\n`);
  await get({ files: ["empty.txt"] });
  await fails(get({ files: ["empty.txt"], token: false, revision: "refs/pr/1" }), /found 401/);
  process.env.HF_TOKEN = "hf_wrong"; // goes before the file
  await fails(get({ files: ["other.bin"] }), /token in use is not valid/);
  process.env.HF_TOKEN = TOKEN;
  await get({ files: ["other.bin"] });
  delete process.env.HF_TOKEN;
}));

test("redirects: within the hub the token stays, a renamed model is found; away from it once, it is gone for good; a ring ends", () => bench({ [ID]: model({ private: true }) }, async ({ hub, get }) => {
  hub.fault = ({ path }) => (path.includes("old-name") ? { status: 307, headers: { location: path.replace("old-name", "tiny-model") } } : undefined);
  const { files } = await get({ token: TOKEN }, "org/old-name");
  assert.deepEqual(files, ["config.json", "model.safetensors"]);
  hub.fault = ({ origin, path }) => (path.endsWith("/empty.txt") ? { status: 302, headers: { location: `${hub.cdn}/back` } } : origin === "cdn" ? { status: 302, headers: { location: `${hub.endpoint}/elsewhere` } } : undefined);
  await assert.rejects(get({ token: TOKEN, files: ["empty.txt", "other.bin"], retries: 0 }), HubError);
  assert.equal(hub.seen.find(({ path }) => path === "/elsewhere")!.headers.authorization, undefined);
  hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: path } } : undefined);
  await fails(get({ token: TOKEN, files: ["other.bin"] }), /more than 9 redirects/);
  hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: "file:///etc/passwd" } } : undefined);
  await fails(get({ token: TOKEN, files: ["other.bin"] }), /expected a redirect to an https address/);
}));

test("what the hub refuses is said with its remedy", () => bench({ [ID]: model(), "org/gated": model({ gated: true }) }, async ({ hub, cache, get }) => {
  await fails(get({}, "org/none"), /org\/none: expected a model at .*\/org\/none, found 401 .*there is none of that name, or it is private/);
  await fails(get({ token: TOKEN }, "org/none"), /found 404 .*none of that name, or the token in use may not see it/);
  await fails(get({ revision: "v9" }), /expected the revision "v9", found 404 \(Invalid rev id: v9\)/);
  await fails(get({}, "org/gated"), /org\/gated: config\.json: .*Sign in and accept the terms at http.*\/org\/gated; then make a token/);
  hub.fault = ({ path }) => (path.includes("resolve") ? { status: 403 } : undefined);
  await fails(get({ token: TOKEN }), /found 403: .*accept the terms.*the token in use must be of that account/);
  hub.fault = ({ path }) => (path.includes("resolve") ? { status: 404, headers: { "x-error-code": "EntryNotFound" } } : undefined);
  await fails(get(), /expected the file config\.json, found 404/);
  hub.fault = () => undefined;
  await fails(get({ files: ["config.json", "model-9.safetensors"] }), /expected model-9\.safetensors, found config\.json, empty\.txt, /);
  await fails(get({ files: [/\.gguf$/] }), /expected files like \/\\\.gguf\$\/, found none among config\.json/);
  await assert.rejects(get({ files: () => { throw new TypeError("the caller's own"); } }), /the caller's own/);
  nothingIn(cache);
}));

test("a list that is none: damaged, of other things, with paths that lead out", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const answer = async (where: string, body: string, pattern: RegExp) => {
    hub.fault = ({ path }) => (path.includes(where) ? { body } : undefined);
    await fails(get({ files: [/./] }), pattern);
  };
  await answer("/revision/", "<html>Sign in", /expected JSON, found "<html>Sign in"/);
  await answer("/revision/", "null", /expected the commit/);
  await answer("/revision/", JSON.stringify({ sha: "../../x" }), /expected the commit .*found "\.\.\/\.\.\/x"/);
  await answer("/tree/", "{}", /expected a list of files/);
  await answer("/tree/", "[null]", /expected a list of files .* found null/);
  const entry = (path: unknown, extra = {}) => JSON.stringify([{ type: "file", path, size: 1, oid: "c".repeat(40), ...extra }]);
  await answer("/tree/", entry(7), /expected a list of files/);
  await answer("/tree/", entry("a", { oid: "../../../x" }), /expected a list of files/);
  await answer("/tree/", entry("a", { lfs: { oid: "../x", size: 1 } }), /expected a list of files/);
  await answer("/tree/", entry("a", { size: -1 }), /expected a list of files/);
  for (const path of ["../x", "a/../../x", "/etc/x", "a\\..\\x", "a//b", "", ".", "a/.", "C:/x", "a\0b", "a\nb"]) await answer("/tree/", entry(path), /expected paths within the repository.*Nothing was written/);
  const two = (...paths: string[]) => JSON.stringify(paths.map((path) => JSON.parse(entry(path))[0]));
  await answer("/tree/", two("a", "a/b"), /expected "a" to be a file or a folder, found both/);
  await answer("/tree/", two("a", "a"), /expected each file once/);
  assert.equal(existsSync(cache), false);
}));

test("failures that pass are tried again: 429 with its wait, 500, a torn connection, silence; at last they are an error", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  hub.fault = ({ origin, nth, path }) => {
    if (path.includes("/revision/")) return [{ status: 429, headers: { "retry-after": "0" } }, { status: 500 }][nth];
    if (path.includes("/tree/")) return nth === 0 ? { cut: 10 } : undefined;
    if (origin === "cdn") return [{ status: 503 }, { silent: true }, { cut: 100_000 }][nth];
    return undefined;
  };
  const states: any[] = [];
  await get({ patience: 0.3, progress: (state) => states.push(state) });
  assert.deepEqual(readFileSync(blobOf(cache, sha256(weights))), weights);
  const atCdn = hub.seen.filter(({ origin }) => origin === "cdn");
  assert.deepEqual(atCdn.map(({ headers }) => headers.range), [undefined, undefined, undefined, "bytes=100000-"]);
  assert.match(String(atCdn[3].headers["if-range"]), /^"cdn-/);
  assert.equal(atCdn[3].sent, 200_000);
  const last = states.at(-1);
  assert.deepEqual([last.done, last.total, last.unit, last.detail], [301, 301, "kB", "model.safetensors"]);
  assert.ok(states.every(({ done }) => done >= 0 && done <= 301));

  hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 500 } : undefined);
  hub.seen.length = 0;
  await fails(get({ files: ["other.bin"], retries: 2 }), /found 500\. Tried 3 times/);
  assert.equal(bodies(hub).length, 3);
  hub.fault = ({ origin }) => (origin === "cdn" ? { cut: 4 } : undefined);
  await fails(get({ files: ["other.bin"], retries: 0 }), /(other\.bin: expected 10 bytes, found that the connection ends after 4|expected a connection, found).* Tried 1 time:/);
}));

test("a wait that the server asks for is kept, and can be interrupted", () => bench({ [ID]: model() }, async ({ hub, get }) => {
  hub.fault = ({ path, nth }) => (path.includes("/revision/") && nth === 0 ? { status: 429, headers: { "retry-after": "200" } } : undefined);
  await fails(get({ files: ["config.json"], retryDelay: 0, signal: AbortSignal.timeout(500) }), /Interrupted/, InterruptError);
  assert.equal(hub.seen.length, 1);
}));

test("a part is gone on with: by range, from the beginning where the server has none, or cannot; never past its end", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const again = async (part: Buffer): Promise<void> => {
    rmSync(repositoryIn(cache), { recursive: true, force: true });
    mkdirSync(join(repositoryIn(cache), "blobs"), { recursive: true });
    writeFileSync(partOf(cache), part);
    hub.seen.length = 0;
    const { folder } = await get({ files: ["model.safetensors"] });
    assert.deepEqual(readFileSync(join(folder, "model.safetensors")), weights);
    assert.deepEqual(readdirSync(join(repositoryIn(cache), "blobs")), [sha256(weights)]);
  };
  const atCdn = () => hub.seen.filter(({ origin }) => origin === "cdn").map(({ status, sent }) => [status, sent]);
  await again(weights.subarray(0, 123_456));
  assert.deepEqual(atCdn(), [[206, weights.length - 123_456]]);
  await again(weights);
  assert.deepEqual(atCdn(), [], "a whole part is only checked");
  await again(Buffer.concat([weights, Buffer.from("too long")]));
  assert.deepEqual(atCdn(), [[200, weights.length]]);
  await again(randomBytes(1000)); // of something else: found out by its hash, fetched anew
  assert.deepEqual(atCdn(), [[206, weights.length - 1000], [200, weights.length]]);
  hub.fault = ({ origin }) => (origin === "cdn" ? { noRange: true } : undefined);
  await again(weights.subarray(0, 5));
  assert.deepEqual(atCdn(), [[200, weights.length]]);
  hub.fault = ({ origin, range }) => (origin === "cdn" && range ? { status: 416 } : undefined);
  await again(weights.subarray(0, 5));
  assert.deepEqual(atCdn().map(([status]) => status), [416, 200]);
  hub.fault = ({ origin, range }) => (origin === "cdn" && range ? { status: 206, headers: { "content-range": `bytes 0-9/${weights.length}` }, body: "wrong part" } : undefined);
  await again(weights.subarray(0, 5));
  assert.deepEqual(atCdn().map(([status]) => status), [206, 200]);
}));

test("a content that is not what its hash says is fetched once more, then an error, and nothing of it stays", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  hub.fault = ({ origin, nth }) => (origin === "cdn" && nth === 0 ? { flip: true } : undefined);
  await get();
  assert.deepEqual(readFileSync(blobOf(cache, sha256(weights))), weights);
  rmSync(repositoryIn(cache), { recursive: true });
  hub.fault = ({ origin, path }) => (origin === "cdn" || path.endsWith("/empty.txt") ? { flip: true } : undefined);
  await fails(get(), /model\.safetensors: expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}, twice/);
  assert.deepEqual(readdirSync(join(repositoryIn(cache), "blobs")), [gitHash(config)]);
  hub.fault = ({ path }) => (path.endsWith("cfg é.json") ? { flip: true } : undefined);
  await fails(get({ files: [/^sub/] }), /expected git SHA-1 [0-9a-f]{40}, found/);
  hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: `${hub.cdn}/x`, "x-linked-etag": `"${"0".repeat(64)}"` } } : undefined);
  await fails(get({ files: ["other.bin"] }), /expected SHA-256 .*, as the hub lists it, found 0{64} announced/);
  hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { body: "longer than it was listed" } : undefined);
  await fails(get({ files: ["other.bin"] }), /expected 10 bytes, as the hub lists it, found 25/);
  hub.fault = ({ path }) => (path.endsWith("/other.bin") ? { status: 302, headers: { location: `${hub.cdn}/x`, "x-repo-commit": B } } : undefined);
  await fails(get({ files: ["other.bin"] }), new RegExp(`expected the file of commit ${A}, found that of ${B}`));
  assert.deepEqual(readdirSync(join(repositoryIn(cache), "blobs")), [gitHash(config)]);
}));

test("an interrupt keeps what has come, and the same call goes on; a signal does the same", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  hub.fault = ({ origin, nth }) => (origin === "cdn" && nth < 2 ? { drip: 4096 } : undefined);
  const flag = ((globalThis as any)[Symbol.for("saelab.interrupt")] = { requested: false });
  await fails(get({ progress: ({ detail, done }) => (flag.requested ||= detail === "model.safetensors" && done > 20) }), /^Interrupted\. What has come of org\/tiny-model@main is kept in .*: the same call goes on/, InterruptError);
  flag.requested = false;
  const kept = statSync(partOf(cache)).size;
  assert.ok(kept > 20_000 && kept < weights.length, String(kept));
  assert.deepEqual(readFileSync(partOf(cache)), weights.subarray(0, kept));
  const control = new AbortController();
  await fails(get({ signal: control.signal, progress: ({ done }) => done * 1000 > kept + 20_000 && control.abort() }), /Interrupted/, InterruptError);
  await get();
  const atCdn = hub.seen.filter(({ origin }) => origin === "cdn");
  assert.equal(atCdn[1].headers.range, `bytes=${kept}-`);
  assert.ok(atCdn[2].sent < weights.length - kept);
  assert.deepEqual(readFileSync(blobOf(cache, sha256(weights))), weights);
  hub.fault = ({ path }) => (path.includes("/revision/") ? { silent: true } : undefined);
  await fails(get({ signal: AbortSignal.timeout(150) }), /Interrupted/, InterruptError);
}));

/** Another process that downloads; resolves with its exit code or signal. */
function child(hub: FakeHub, cache: string): { process: ReturnType<typeof spawn>; ended: Promise<number | string> } {
  const code = `require(${JSON.stringify(join(__dirname, "../../src/adapters/hub.js"))}).downloadSnapshot(${JSON.stringify(ID)}, { files: ["config.json", "model.safetensors"] }).then(({ commit }) => { if (commit !== "${A}") process.exit(3); })`;
  const started = spawn(process.execPath, ["-e", code], { env: { ...process.env, HF_ENDPOINT: `${hub.endpoint}/`, HF_HUB_CACHE: cache }, stdio: ["ignore", "inherit", "inherit"] });
  return { process: started, ended: new Promise((resolve) => started.on("exit", (exit, signal) => resolve(exit ?? signal!))) };
}

test("a process that is killed leaves a part and a lock: the next fetches only the rest", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const { process: victim, ended } = child(hub, cache);
  hub.fault = ({ origin, nth }) => {
    if (origin !== "cdn" || nth > 0) return undefined;
    const watch = setInterval(() => {
      if (!existsSync(partOf(cache)) || statSync(partOf(cache)).size < 50_000) return;
      clearInterval(watch);
      victim.kill("SIGKILL");
    }, 10);
    return { drip: 10_000 };
  };
  assert.equal(await ended, "SIGKILL");
  const kept = statSync(partOf(cache)).size;
  assert.ok(kept >= 50_000 && kept < weights.length);
  assert.equal(readdirSync(join(cache, ".locks", "models--org--tiny-model")).length, 1);
  const { folder } = await get();
  assert.deepEqual(readFileSync(join(folder, "model.safetensors")), weights);
  assert.deepEqual(hub.seen.filter(({ origin }) => origin === "cdn").map(({ headers }) => headers.range), [undefined, `bytes=${kept}-`]);
  assert.equal(hub.seen.filter(({ origin }) => origin === "cdn")[1].sent, weights.length - kept);
}));

test("two processes, and two calls of one, fetch each file once", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  hub.fault = ({ origin }) => (origin === "cdn" ? { drip: 20_000 } : undefined);
  const others = [child(hub, cache), child(hub, cache)];
  const ours = await Promise.all([get(), get()]);
  assert.deepEqual(await Promise.all(others.map(({ ended }) => ended)), [0, 0]);
  assert.deepEqual(ours[0], ours[1]);
  assert.equal(hub.seen.filter(({ origin }) => origin === "cdn").length, 1);
  assert.equal(bodies(hub).filter(({ path }) => path.endsWith("config.json")).length, 1);
  assert.deepEqual(readFileSync(join(ours[0].folder, "model.safetensors")), weights);
}));

test("a lock whose process does nothing ends in an error that names it", () => bench({ [ID]: model() }, async ({ cache, get }) => {
  const lock = join(cache, ".locks", "models--org--tiny-model", `${gitHash(config)}.saelab.lock`);
  mkdirSync(join(lock, ".."), { recursive: true });
  writeFileSync(lock, JSON.stringify({ pid: process.pid, host: "another-machine", started: null, since: "2026-01-01" }));
  await fails(get({ patience: 0.04 }), /expected the download of another process to go on.*another-machine, since 2026-01-01.*delete this file/);
}));

test("without a network the last commit is used if it is all there, else the error says how to look", () => bench({ [ID]: model() }, async ({ hub, get }) => {
  const first = await get();
  await hub.close();
  assert.deepEqual(await get({ retries: 1 }), first);
  await fails(get({ files: ["other.bin"], retries: 1 }), /expected a connection, found ECONNREFUSED\. Is the network up, and HF_ENDPOINT right\? With HF_HUB_OFFLINE=1/);
  await fails(get({}, "org/other"), /ECONNREFUSED.*Tried 3 times/);
}));

test("what others put into the cache is used: no list, copies for links, a content that lost its end", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const { folder } = await get();
  rmSync(join(repositoryIn(cache), "trees"), { recursive: true }); // as older versions of huggingface_hub leave it
  hub.seen.length = 0;
  await get({ revision: A });
  await get({ offline: true, files: [/./] });
  assert.equal(hub.seen.length, 0);
  assert.deepEqual((await get({ revision: A, files: [/\.json$/] })).files, ["config.json", "sub/folder/cfg é.json"], "a pattern may mean files that are not there yet");
  unlinkSync(join(folder, "config.json"));
  writeFileSync(join(folder, "config.json"), config); // a copy
  writeFileSync(blobOf(cache, sha256(weights)), weights.subarray(0, 1000)); // a bad disk
  hub.seen.length = 0;
  await get({ revision: A });
  assert.deepEqual(bodies(hub).map(({ path }) => path.slice(0, 30)), [`/${ID}/resolve/${A}`.slice(0, 30), `/${sha256(weights)}`.slice(0, 30)]);
  assert.ok(!lstatSync(join(folder, "config.json")).isSymbolicLink());
  assert.deepEqual(readFileSync(join(folder, "model.safetensors")), weights);
  unlinkSync(join(folder, "config.json"));
  symlinkSync("../../blobs/none", join(folder, "config.json")); // a link to nothing
  await get({ revision: A });
  assert.deepEqual(readFileSync(join(folder, "config.json")), config);
}));

test("a mirror goes before everything; what it lacks comes from the hub; a revision it cannot vouch for too", () => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const mirror = join(cache, "../mirror");
  await fails(get({ mirror }), /mirror: expected a folder of models \(mirror\), found none/);
  mkdirSync(join(mirror, ID), { recursive: true });
  writeFileSync(join(mirror, ID, "config.json"), config);
  const plain = { folder: join(mirror, ID), commit: undefined, files: ["config.json"] };
  assert.deepEqual(await get({ mirror, files: ["config.json"] }), plain);
  assert.deepEqual(await get({ mirror, files: [/json/], offline: true }), plain);
  assert.equal(hub.seen.length, 0);
  await fails(get({ mirror, offline: true }), /nor all that is wanted in .*mirror/);
  const { folder, commit } = await get({ mirror });
  assert.equal(commit, A);
  assert.equal((await get({ mirror, files: ["config.json"], revision: A })).folder, folder);
  hub.seen.length = 0;
  assert.deepEqual(await get({ mirror: cache, cache: join(cache, "../unused") }), { folder, commit: A, files: ["config.json", "model.safetensors"] });
  assert.equal(hub.seen.length, 0);
}));

test("where a file system has no links, files are copied; where it has no room, nothing is begun", async (t) => bench({ [ID]: model() }, async ({ hub, cache, get }) => {
  const none = t.mock.method(fsPromises, "symlink", async () => {
    throw Object.assign(new Error("no links here"), { code: "EPERM" });
  });
  const { folder } = await get();
  assert.ok(none.mock.callCount() > 0);
  assert.deepEqual(readFileSync(join(folder, "model.safetensors")), weights);
  assert.ok(!lstatSync(join(folder, "model.safetensors")).isSymbolicLink());
  assert.deepEqual(readdirSync(folder), ["config.json", "model.safetensors"]);
  hub.seen.length = 0;
  await get({ revision: A });
  assert.equal(hub.seen.length, 0);
  t.mock.method(fsPromises, "statfs", async () => ({ bavail: 10, bsize: 4096 }));
  await fails(get({ files: ["other.bin"] }), /expected 65 MB free .*found 1 MB/, DiskError);
  assert.deepEqual(bodies(hub), []);
  assert.equal(existsSync(join(cache, "models--org--tiny-model/blobs", sha256(Buffer.from("not wanted")))), false);
}));

test("places come from the environment, as for Python", () => {
  const of = (env: NodeJS.ProcessEnv) => {
    const { cache, endpoint, offline, tokenFile } = hubSettings({ HOME: process.env.HOME, ...env });
    return [cache, endpoint, offline, tokenFile];
  };
  assert.deepEqual(of({ XDG_CACHE_HOME: "/c" }), ["/c/huggingface/hub", "https://huggingface.co", false, "/c/huggingface/token"]);
  assert.deepEqual(of({ HF_HOME: "/h", HF_HUB_OFFLINE: "0" }), ["/h/hub", "https://huggingface.co", false, "/h/token"]);
  assert.deepEqual(of({ HF_HOME: "/h", HF_HUB_CACHE: "/x", HF_ENDPOINT: "http://e", HF_HUB_OFFLINE: "YES", HF_TOKEN_PATH: "/t" }), ["/x", "http://e", true, "/t"]);
  assert.ok(!(of({ HF_HOME: "~/h" })[0] as string).includes("~"));
});

test("options that make no sense, and an address that is none", () => bench({ [ID]: model() }, async ({ get }) => {
  await fails(get({ endpoint: "huggingface.co" }), /endpoint: expected an address/, OptionError);
  await fails(get({ retries: -1 }), /retries: expected/, OptionError);
  await fails(get({ retryDelay: NaN }), /retryDelay: expected/, OptionError);
  await fails(get({ patience: 0 }), /patience: expected/, OptionError);
  await fails(get({}, "a/b/c"), /expected a model of the hub/);
}));
