"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.treeText = exports.nextPage = exports.isSafePath = exports.blobName = exports.repositoryFolder = exports.isCommit = void 0;
exports.isHubId = isHubId;
exports.parseHubId = parseHubId;
exports.checkRevision = checkRevision;
exports.checkPaths = checkPaths;
exports.readTreePage = readTreePage;
exports.readTreeText = readTreeText;
exports.select = select;
const errors_1 = require("./errors");
const PART = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?$/;
const HOSTS = ["huggingface.co", "www.huggingface.co", "hf.co"];
/** Whether a text can be the name of a model on the hub: what {@link parseHubId} reads. A folder of that name goes first; that is the caller's to look up. */
function isHubId(text) {
    try {
        parseHubId(text);
        return true;
    }
    catch {
        return false;
    }
}
/**
 * Reads `org/name`, `name`, either with `@revision`; the same after `hf://`; `https://huggingface.co/org/name`, also with
 * `/tree/revision` and a folder after it.
 * @throws HubError for anything else
 * @see https://huggingface.co/docs/huggingface_hub/package_reference/hf_uris
 */
function parseHubId(text) {
    const fail = (why) => {
        throw new errors_1.HubError(`${JSON.stringify(text)}: expected a model of the hub, such as "org/name" or "org/name@revision", found ${why}.`);
    };
    let name = text;
    let revision;
    let subfolder;
    if (/^https?:\/\//i.test(text)) {
        if (!URL.canParse(text))
            fail("no address");
        const { hostname, pathname } = new URL(text);
        if (!HOSTS.includes(hostname))
            fail(`an address at ${hostname}, which is not the hub`);
        let parts = [];
        try {
            parts = pathname.split("/").filter(Boolean).map(decodeURIComponent);
        }
        catch {
            fail("a % that stands for no character");
        }
        const tree = parts.indexOf("tree", 1);
        const end = tree < 0 ? parts.length : tree;
        if (tree >= 0) {
            if (tree + 1 >= parts.length)
                fail("/tree/ without a revision");
            revision = parts[tree + 1];
            subfolder = parts.slice(tree + 2).join("/") || undefined;
        }
        name = parts.slice(0, end).join("/");
    }
    else {
        name = text.replace(/^hf:\/\/(models\/(?=[^/]+\/))?/, "");
        const at = name.indexOf("@");
        if (at >= 0)
            [name, revision] = [name.slice(0, at), name.slice(at + 1)];
    }
    const parts = name.split("/");
    if (["datasets", "spaces", "kernels", "buckets"].includes(parts[0]) && parts.length > 1)
        fail(`something of ${parts[0]}`);
    if (parts.length > 2)
        fail("more than two parts");
    if (!parts.every((part) => PART.test(part)) || /--|\.\./.test(name) || /\.git$/.test(name)) {
        fail("characters or an order of them that names there do not have (letters, digits, - _ . within)");
    }
    if (revision !== undefined)
        checkRevision(revision);
    if (subfolder !== undefined && !(0, exports.isSafePath)(subfolder))
        fail("a folder that leads out of the repository");
    return { id: name, revision, subfolder };
}
/** A revision becomes part of addresses and the name of a file. @throws OptionError for what git would not take as the name of a branch or tag */
function checkRevision(revision) {
    // git-check-ref-format(1)
    const parts = revision.split("/");
    const bad = /[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{/.test(revision) || revision.length > 250 ||
        parts.some((part) => !part || part.startsWith(".") || part.endsWith(".") || part.endsWith(".lock"));
    if (bad)
        throw new errors_1.OptionError(`revision: expected a branch, a tag or a commit, found ${JSON.stringify(revision)}.`);
}
const isCommit = (revision) => /^[0-9a-f]{40}$/.test(revision);
exports.isCommit = isCommit;
/** Name of a repository's folder in the cache, "models--org--name". */
const repositoryFolder = (id) => ["models", ...id.split("/")].join("--");
exports.repositoryFolder = repositoryFolder;
/** Name of a file's content in the cache. */
const blobName = (file) => (file.sha256 ?? file.oid);
exports.blobName = blobName;
/** Whether a path stays within the folder it is put into, on every file system. */
const isSafePath = (path) => !/[\\\x00-\x1f\x7f]/.test(path) && !/^[A-Za-z]:/.test(path) && path.length <= 1024 &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
exports.isSafePath = isSafePath;
/** @throws HubError when a path leads out of the repository, or a file is a folder too: nothing of such a list is used */
function checkPaths(files, where) {
    const paths = new Set();
    for (const { path } of files) {
        if (!(0, exports.isSafePath)(path)) {
            throw new errors_1.HubError(`${where}: expected paths within the repository, found ${JSON.stringify(path.slice(0, 200))}. Nothing was written: do not use this repository.`);
        }
        if (paths.has(path))
            throw new errors_1.HubError(`${where}: expected each file once, found ${JSON.stringify(path)} twice.`);
        paths.add(path);
    }
    for (const path of paths) {
        for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
            if (paths.has(path.slice(0, slash))) {
                throw new errors_1.HubError(`${where}: expected ${JSON.stringify(path.slice(0, slash))} to be a file or a folder, found both.`);
            }
        }
    }
}
const isHex = (value, length) => typeof value === "string" && value.length === length && /^[0-9a-f]+$/.test(value);
const isSize = (value) => Number.isSafeInteger(value) && value >= 0;
/**
 * The files of one page of the hub's tree of a commit: [{ type, path, size, oid, lfs?: { oid, size } }].
 * @throws HubError where it is not that
 */
function readTreePage(page, where) {
    const fail = (what) => {
        throw new errors_1.HubError(`${where}: expected a list of files with path, size and hash, found ${what}. Is HF_ENDPOINT the hub, or a copy of it?`);
    };
    if (!Array.isArray(page))
        return fail(page === null ? "null" : typeof page);
    return page.filter((entry) => entry?.type !== "directory").map((entry) => {
        const { path, oid, lfs, xetHash } = (entry ?? {});
        const size = lfs ? lfs.size : entry?.size;
        if (typeof path !== "string" || !isSize(size) || !isHex(oid, 40) || (lfs && !isHex(lfs.oid, 64)))
            return fail(JSON.stringify(entry)?.slice(0, 200) ?? "nothing");
        return { path, size, oid, ...(lfs ? { sha256: lfs.oid } : {}), ...(isHex(xetHash, 64) ? { xetHash } : {}) };
    });
}
/** Address of the next page out of a Link header (RFC 8288); undefined at the last. */
const nextPage = (link) => link?.split(/,\s*(?=<)/).map((part) => /^<([^>]*)>(.*)$/.exec(part.trim())).find((part) => part && /;\s*rel="?next"?/i.test(part[2]))?.[1];
exports.nextPage = nextPage;
/** A commit's list of files as newer versions of huggingface_hub keep it: trees/<commit>.json. @see huggingface_hub/_tree_cache.py */
const treeText = (files) => JSON.stringify({
    format_version: 1,
    files: Object.fromEntries([...files].sort((a, b) => (a.path < b.path ? -1 : 1)).map(({ path, size, oid, sha256, xetHash }) => [path, { size, blob_id: oid, ...(sha256 ? { lfs_sha256: sha256, lfs_size: size } : {}), ...(xetHash ? { xet_hash: xetHash } : {}) }])),
}, undefined, 1);
exports.treeText = treeText;
/** Reads {@link treeText}; undefined where it is of another version or damaged, so that it is asked for again. */
function readTreeText(text) {
    try {
        const { format_version, files } = JSON.parse(text);
        if (format_version !== 1)
            return undefined;
        const page = Object.entries(files).map(([path, { size, blob_id, lfs_sha256, lfs_size, xet_hash }]) => ({ path, size, oid: blob_id, xetHash: xet_hash, ...(lfs_sha256 ? { lfs: { oid: lfs_sha256, size: lfs_size ?? size } } : {}) }));
        const list = readTreePage(page, "trees");
        checkPaths(list, "trees");
        return list;
    }
    catch {
        return undefined;
    }
}
/**
 * The files that are wanted, in the order of the list. A text must be there; of a pattern there may be none.
 * @throws HubError when a file is not there, or nothing is wanted at all
 */
function select(files, wanted, where) {
    const there = () => {
        const paths = files.map(({ path }) => path);
        return paths.length ? `${paths.slice(0, 20).join(", ")}${paths.length > 20 ? ` and ${paths.length - 20} more` : ""}` : "no file";
    };
    const asked = typeof wanted === "function" ? wanted(files).map((file) => (typeof file === "string" ? file : file.path)) : wanted;
    const missing = asked.filter((one) => typeof one === "string" && !files.some(({ path }) => path === one));
    if (missing.length)
        throw new errors_1.HubError(`${where}: expected ${missing.join(", ")}, found ${there()}. Is it the right model, revision and folder?`);
    const picked = files.filter(({ path }) => asked.some((one) => (typeof one === "string" ? one === path : path.search(one) >= 0)));
    if (!picked.length)
        throw new errors_1.HubError(`${where}: expected files like ${typeof wanted === "function" ? "those chosen" : wanted.join(", ") || "those named"}, found none among ${there()}.`);
    return picked;
}
//# sourceMappingURL=hubname.js.map