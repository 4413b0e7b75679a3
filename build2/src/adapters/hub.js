"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.parseHubId = exports.isHubId = void 0;
exports.downloadSnapshot = downloadSnapshot;
exports.listFiles = listFiles;
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const promises_1 = require("node:fs/promises");
const node_path_1 = require("node:path");
const errors_1 = require("../core/errors");
const hubname_1 = require("../core/hubname");
Object.defineProperty(exports, "isHubId", { enumerable: true, get: function () { return hubname_1.isHubId; } });
Object.defineProperty(exports, "parseHubId", { enumerable: true, get: function () { return hubname_1.parseHubId; } });
const files_1 = require("./files");
const hubcache_1 = require("./hubcache");
const hubhttp_1 = require("./hubhttp");
const lock_1 = require("./lock");
const progress_1 = require("./progress");
const progressbar_1 = require("./progressbar");
/**
 * Brings files of a model on the Hugging Face hub onto this disk, into the cache that Python's huggingface_hub uses too. The revision is
 * looked up once and all files are of that commit; what is there is not asked for again, and of a full commit no request is made then.
 * Each file is checked against its hash before it is put in place. A download that was cut off or interrupted goes on where it was.
 * When the hub cannot be reached, the files that the revision had last time are given, if all are there.
 * @param name as {@link parseHubId} reads it; a folder of that name is for the caller to look up first
 * @throws HubError when the hub refuses, does not have it, gives something else, or cannot be reached; DiskError; OptionError;
 *   InterruptError, what has come is kept
 */
async function downloadSnapshot(name, options) {
    const { model, connection, cache, offline } = settle(name, options);
    const { id, revision, subfolder } = model;
    const repository = (0, hubcache_1.repositoryOf)(cache, id);
    const where = `${id}@${revision}${subfolder ? `/${subfolder}` : ""}`;
    if (options.mirror !== undefined) {
        const found = (0, hubcache_1.inMirror)(options.mirror, id, revision);
        const { snapshot } = found ? onDisk(found.folder, found.commit, found.files, subfolder, options.files, where) : {};
        if (snapshot)
            return snapshot;
    }
    /** What a commit has on disk. `sure`: nothing but what is there can be wanted. */
    const inCache = (commit) => {
        const tree = (0, hubcache_1.cachedTree)(repository, commit);
        const folder = (0, hubcache_1.snapshotOf)(repository, commit);
        const sure = tree !== undefined || (Array.isArray(options.files) && options.files.every((file) => typeof file === "string"));
        return { sure, ...onDisk(folder, commit, tree ?? (0, hubcache_1.filesUnder)(folder), subfolder, options.files, where) };
    };
    const before = (0, hubcache_1.cachedCommit)(repository, revision);
    if (before && (offline || (0, hubname_1.isCommit)(revision))) {
        const { sure, snapshot, problem } = inCache(before);
        if (snapshot && (sure || offline))
            return snapshot;
        if (offline)
            throw offlineError(where, repository, problem.message);
    }
    if (offline)
        throw offlineError(where, repository, `Nothing of it is in ${cache}${options.mirror === undefined ? "" : `, nor all that is wanted in ${options.mirror}`}.`);
    const asked = { id, revision };
    try {
        const commit = (0, hubname_1.isCommit)(revision) ? revision : await commitOf(connection, asked);
        const kept = (0, hubcache_1.cachedTree)(repository, commit);
        const tree = kept ?? await treeOf(connection, { id, revision: commit });
        const picked = (0, hubname_1.select)(within(tree, subfolder), options.files, where);
        const folder = (0, hubcache_1.snapshotOf)(repository, commit);
        const lacking = picked.filter(({ path, size }) => !(0, hubcache_1.isThere)((0, node_path_1.join)(folder, subfolder ?? "", path), size));
        const keep = async () => {
            if (!kept)
                await (0, hubcache_1.keepTree)(repository, commit, tree);
            await (0, hubcache_1.keepCommit)(repository, revision, commit);
        };
        await keep().catch((error) => {
            if (lacking.length)
                throw error; // else: a cache that may only be read serves what it has
        });
        const whole = lacking.map((file) => ({ ...file, path: subfolder ? `${subfolder}/${file.path}` : file.path }));
        if (whole.length)
            await fill(connection, cache, { id, revision: commit }, whole, options.progress ?? (0, progressbar_1.defaultProgress)());
        return { folder: (0, node_path_1.join)(folder, subfolder ?? ""), commit, files: picked.map(({ path }) => path) };
    }
    catch (error) {
        if (error instanceof hubhttp_1.Stopped) {
            throw new errors_1.InterruptError(`Interrupted. What has come of ${where} is kept in ${repository}: the same call goes on from there.`);
        }
        if (error instanceof errors_1.HubError && error.cause instanceof hubhttp_1.Temporary && before) {
            const { snapshot } = inCache(before);
            if (snapshot)
                return snapshot;
        }
        throw (0, files_1.diskError)(error, repository);
    }
}
/**
 * The files of a model at one commit, as the hub lists them; offline, as the cache has them.
 * @throws HubError
 */
async function listFiles(name, options = {}) {
    const { model: { id, revision, subfolder }, connection, cache, offline } = settle(name, options);
    const repository = (0, hubcache_1.repositoryOf)(cache, id);
    if (offline) {
        const commit = (0, hubcache_1.cachedCommit)(repository, revision);
        if (!commit)
            throw offlineError(`${id}@${revision}`, repository, `Nothing of it is in ${cache}.`);
        return { id, commit, files: within((0, hubcache_1.cachedTree)(repository, commit) ?? (0, hubcache_1.filesUnder)((0, hubcache_1.snapshotOf)(repository, commit)), subfolder) };
    }
    try {
        const commit = (0, hubname_1.isCommit)(revision) ? revision : await commitOf(connection, { id, revision });
        return { id, commit, files: within(await treeOf(connection, { id, revision: commit }), subfolder) };
    }
    catch (error) {
        throw error instanceof hubhttp_1.Stopped ? new errors_1.InterruptError(`Interrupted. The files of ${id} were not listed.`) : error;
    }
}
/** Options with what the environment says, checked. */
function settle(name, options) {
    const parsed = (0, hubname_1.parseHubId)(name);
    if (options.revision !== undefined && parsed.revision !== undefined && options.revision !== parsed.revision) {
        throw new errors_1.OptionError(`revision: expected one, found ${options.revision} and, in the name, ${parsed.revision}.`);
    }
    const revision = options.revision ?? parsed.revision ?? "main";
    (0, hubname_1.checkRevision)(revision);
    const subfolder = (options.subfolder ?? parsed.subfolder)?.replace(/\/+$/, "") || undefined;
    if (subfolder !== undefined && !(0, hubname_1.isSafePath)(subfolder))
        throw new errors_1.OptionError(`subfolder: expected a folder within the repository, found ${JSON.stringify(subfolder)}.`);
    const { retries = 5, retryDelay = 1, patience = 60 } = options;
    if (!Number.isSafeInteger(retries) || retries < 0)
        throw new errors_1.OptionError(`retries: expected a whole number from 0, found ${retries}.`);
    if (!(retryDelay >= 0))
        throw new errors_1.OptionError(`retryDelay: expected seconds from 0, found ${retryDelay}.`);
    if (!(patience > 0))
        throw new errors_1.OptionError(`patience: expected seconds above 0, found ${patience}.`);
    const settings = (0, hubcache_1.hubSettings)();
    const offline = options.offline ?? settings.offline;
    const connection = {
        endpoint: (0, hubcache_1.checkEndpoint)(options.endpoint ?? settings.endpoint),
        token: offline || options.token === false ? undefined : (0, hubcache_1.checkToken)(options.token ?? settings.token()),
        tokenFile: settings.tokenFile, retries, retryDelay, patience, signal: options.signal,
    };
    return { model: { id: parsed.id, revision, subfolder }, connection, cache: (0, node_path_1.resolve)(options.cache ?? settings.cache), offline };
}
const offlineError = (where, repository, what) => new errors_1.HubError(`${where}: expected its files on disk (${repository}), as no request may be made (offline: true, or HF_HUB_OFFLINE). ${what} Run once online, or copy the folder from another computer.`);
/** Files below a folder, with their paths from there. */
const within = (files, subfolder) => !subfolder ? files : files.filter(({ path }) => path.startsWith(`${subfolder}/`)).map((file) => ({ ...file, path: file.path.slice(subfolder.length + 1) }));
/** The snapshot, if all that is wanted is there; else what is not. */
function onDisk(root, commit, list, subfolder, wanted, where) {
    const folder = (0, node_path_1.join)(root, subfolder ?? "");
    try {
        const picked = (0, hubname_1.select)(within(list, subfolder), wanted, where);
        const missing = picked.filter(({ path, size }) => !(0, hubcache_1.isThere)((0, node_path_1.join)(folder, path), size));
        if (missing.length)
            return { problem: new errors_1.HubError(`Missing: ${missing.map(({ path }) => path).join(", ")}.`) };
        return { snapshot: { folder, commit, files: picked.map(({ path }) => path) } };
    }
    catch (error) {
        return { problem: error }; // nothing fits, or the caller's choice says so: the hub may have more
    }
}
const api = ({ endpoint }, { id }, part) => `${endpoint}/api/models/${id}/${part}`;
async function commitOf(connection, asked) {
    const url = api(connection, asked, `revision/${encodeURIComponent(asked.revision)}`);
    const { json } = await (0, hubhttp_1.getJson)(connection, url, asked);
    const commit = json?.sha;
    if (typeof commit !== "string" || !(0, hubname_1.isCommit)(commit))
        throw new errors_1.HubError(`${url}: expected the commit (sha: 40 hexadecimal digits), found ${JSON.stringify(commit) ?? "none"}. Is HF_ENDPOINT the hub, or a copy of it?`);
    return commit;
}
/** All files of a commit, page after page. */
async function treeOf(connection, asked) {
    const base = api(connection, asked, `tree/${asked.revision}?recursive=true`);
    const files = [];
    const seen = new Set();
    for (let url = base; url;) {
        if (seen.has(url))
            throw new errors_1.HubError(`${base}: expected a list with an end, found the same page again.`);
        seen.add(url);
        const { json, link } = await (0, hubhttp_1.getJson)(connection, url, asked);
        for (const file of (0, hubname_1.readTreePage)(json, base))
            files.push(file);
        const next = (0, hubname_1.nextPage)(link);
        // of the address only the query is taken: a copy of the hub may name the hub's own, where nobody sent us
        url = next && URL.canParse(next, url) ? base.replace(/\?.*/, "") + new URL(next, url).search : undefined;
    }
    (0, hubname_1.checkPaths)(files, base);
    return files;
}
/** Downloads what is lacking, one file after the other, each into its blob and then into place. */
async function fill(connection, cache, asked, files, progress) {
    const repository = (0, hubcache_1.repositoryOf)(cache, asked.id);
    const blobs = (0, node_path_1.join)(repository, "blobs");
    const locks = (0, node_path_1.join)(cache, ".locks", (0, hubname_1.repositoryFolder)(asked.id));
    const wanting = new Map(files.map((file) => [(0, hubname_1.blobName)(file), file]));
    for (const [name, { size }] of wanting)
        if ((0, hubcache_1.isThere)((0, node_path_1.join)(blobs, name), size))
            wanting.delete(name);
    const total = [...wanting.values()].reduce((sum, { size }) => sum + size, 0);
    const begun = [...wanting].reduce((sum, [name, { size }]) => sum + Math.min(size, sizeOf(partOf((0, node_path_1.join)(blobs, name)))), 0);
    await (0, files_1.requireSpace)(blobs, total - begun);
    await (0, promises_1.mkdir)(locks, { recursive: true });
    await (0, hubcache_1.tagCache)(cache);
    const [scale, unit] = total >= 1e7 ? [1e6, "MB"] : total >= 1e4 ? [1e3, "kB"] : [1, "bytes"];
    const tell = (0, progress_1.meter)(`Download ${asked.id}`, Math.ceil(total / scale), unit, progress, Math.floor(begun / scale));
    let done = 0;
    for (const file of files) {
        const name = (0, hubname_1.blobName)(file);
        const blob = (0, node_path_1.join)(blobs, name);
        const path = (0, node_path_1.join)((0, hubcache_1.snapshotOf)(repository, asked.revision), file.path);
        // a name of our own: Python's locks (flock) are not seen from here
        await alone(connection, (0, node_path_1.join)(locks, `${name}.saelab.lock`), blob, async () => {
            let got = 0;
            const report = (bytes) => {
                got += bytes;
                // rounded up only when all is there
                tell(done + got >= total ? Math.ceil(total / scale) : Math.floor((done + got) / scale), file.path);
            };
            if (!(0, hubcache_1.isThere)(blob, file.size))
                await download(connection, { ...asked, file: file.path }, file, blob, report);
            if (wanting.delete(name)) {
                report(file.size - got); // another process brought it
                done += file.size;
            }
            await (0, hubcache_1.place)(blob, path);
        });
    }
}
const sizeOf = (path) => (0, node_fs_1.statSync)(path, { throwIfNoEntry: false })?.size ?? 0;
/** The beginning of a blob. A name that Python does not use: it would append without our lock. */
const partOf = (blob) => `${blob}.saelab.incomplete`;
/** Runs the work while no other process does it; waits for one that does, as long as its download grows. */
async function alone(connection, lock, blob, work) {
    let size = -1;
    let since = performance.now();
    for (;;) {
        let holder = "";
        let release;
        try {
            release = (0, lock_1.takeLock)(lock, (who) => {
                holder = who;
                return new errors_1.HubError(who);
            });
        }
        catch (error) {
            if (!holder)
                throw error;
        }
        if (release) {
            try {
                return await work();
            }
            finally {
                release();
            }
        }
        const now = sizeOf((0, node_fs_1.existsSync)(blob) ? blob : partOf(blob));
        if (now !== size)
            [size, since] = [now, performance.now()];
        if (performance.now() - since > 10_000 * connection.patience) {
            throw new errors_1.HubError(`${lock}: expected the download of another process to go on, found it still for ${10 * connection.patience} s: ${holder}. End that process; if it is gone, delete this file.`);
        }
        await (0, hubhttp_1.pause)(0.2, connection);
    }
}
const digestOf = ({ sha256, size }) => (sha256 ? (0, node_crypto_1.createHash)("sha256") : (0, node_crypto_1.createHash)("sha1").update(`blob ${size}\0`));
/**
 * One file into its blob: goes on where a part ends, checks size and hash, flushes, renames.
 * @param report is told of bytes as they are there, less when they are thrown away
 */
async function download(connection, asked, file, blob, report) {
    const url = `${connection.endpoint}/${asked.id}/resolve/${asked.revision}/${asked.file.split("/").map(encodeURIComponent).join("/")}`;
    const where = `${asked.id}: ${asked.file}`;
    const part = partOf(blob);
    const state = { file: await (0, promises_1.open)(part, node_fs_1.constants.O_RDWR | node_fs_1.constants.O_CREAT), at: 0, hash: digestOf(file) };
    try {
        for (let round = 0;; round++) {
            await resume(connection, state, part, file, report);
            let begun = 0;
            await (0, hubhttp_1.persist)(connection, async () => {
                begun = state.at;
                if (state.at < file.size)
                    await request(connection, url, asked, file, state, report, where);
            }, () => state.at - begun >= 2 ** 20);
            const found = state.hash.digest("hex");
            if (found === (0, hubname_1.blobName)(file))
                break;
            await restart(state, file, report);
            if (round) {
                throw new errors_1.HubError(`${where}: expected ${file.sha256 ? "SHA-256" : "git SHA-1"} ${(0, hubname_1.blobName)(file)}, found ${found}, twice. ` +
                    "What came was thrown away. Something on the way changes files (a proxy, a copy of the hub): try another network or HF_ENDPOINT.");
            }
        }
        await state.file.sync();
        await state.file.close();
        await (0, promises_1.rename)(part, blob);
        await (0, files_1.syncFolder)((0, node_path_1.dirname)(blob));
    }
    catch (error) {
        await state.file.close().catch(() => { });
        if (state.at === 0 && !sizeOf(part))
            await (0, promises_1.rm)(part, { force: true });
        throw (0, files_1.diskError)(error, part);
    }
}
/** Takes over what an earlier run left. */
async function resume(connection, state, path, file, report) {
    const { size } = await state.file.stat();
    if (size > file.size)
        return restart(state, file, report);
    if (size === 0)
        return;
    for await (const piece of (0, node_fs_1.createReadStream)(path, { end: size - 1, highWaterMark: 2 ** 20 })) {
        (0, hubhttp_1.stopIfAsked)(connection);
        state.hash.update(piece);
        state.at += piece.length;
    }
    report(state.at);
}
async function restart(state, file, report) {
    await state.file.truncate(0);
    report(-state.at);
    state.at = 0;
    state.hash = digestOf(file);
    state.etag = undefined;
}
/** Asks for the rest of a file and writes it as it comes. @throws Temporary when less comes than there is */
async function request(connection, url, asked, file, state, report, where) {
    const headers = state.at > 0 ? { range: `bytes=${state.at}-`, ...(state.etag ? { "if-range": state.etag } : {}) } : {};
    await (0, hubhttp_1.get)(connection, url, asked, headers, async ({ response, body }) => {
        const { status } = response;
        const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
        if (state.at > 0 && status === 206 && Number(range?.[1]) === state.at) {
            if (range[2] !== "*" && Number(range[2]) !== file.size)
                throw sizeError(where, file, Number(range[2]));
        }
        else {
            await restart(state, file, report); // the server sends all of it, or cannot go on from here
            if (status !== 200)
                throw new hubhttp_1.Temporary(`${where}: expected the file from its beginning or from where it was cut off, found ${status} ${range?.[0] ?? ""}.`);
            const announced = response.headers.get("content-length");
            if (announced !== null && !response.headers.has("content-encoding") && Number(announced) !== file.size)
                throw sizeError(where, file, Number(announced));
        }
        const etag = response.headers.get("etag");
        state.etag = etag && !etag.startsWith("W/") ? etag : undefined;
        for await (const piece of body()) {
            if (state.at + piece.length > file.size) {
                const found = state.at + piece.length;
                await restart(state, file, report);
                throw sizeError(where, file, found);
            }
            for (let from = 0; from < piece.length;)
                from += (await state.file.write(piece, from, piece.length - from, state.at + from)).bytesWritten;
            state.hash.update(piece);
            state.at += piece.length;
            report(piece.length);
        }
        if (state.at < file.size)
            throw new hubhttp_1.Temporary(`${where}: expected ${file.size} bytes, found that the connection ends after ${state.at}.`);
    }, (own) => checkAnnounced(own, asked, file, where));
}
const sizeError = (where, file, found) => new errors_1.HubError(`${where}: expected ${file.size} bytes, as the hub lists it, found ${found} or more. Something on the way changes files (a proxy, a copy of the hub): try another network or HF_ENDPOINT.`);
/** What the hub says of a file before it sends us to where it lies. */
function checkAnnounced(own, asked, file, where) {
    const commit = own.get("x-repo-commit");
    if (commit !== null && commit !== asked.revision)
        throw new errors_1.HubError(`${where}: expected the file of commit ${asked.revision}, found that of ${commit}. Is HF_ENDPOINT the hub, or a copy of it?`);
    const size = own.get("x-linked-size");
    if (size !== null && Number(size) !== file.size)
        throw sizeError(where, file, Number(size));
    const hash = own.get("x-linked-etag")?.replace(/^W\//, "").replaceAll("\"", "");
    if (file.sha256 && hash && /^[0-9a-f]{64}$/.test(hash) && hash !== file.sha256) {
        throw new errors_1.HubError(`${where}: expected SHA-256 ${file.sha256}, as the hub lists it, found ${hash} announced. Try again later.`);
    }
}
//# sourceMappingURL=hub.js.map