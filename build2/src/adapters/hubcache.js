"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.isThere = exports.snapshotOf = exports.repositoryOf = void 0;
exports.hubSettings = hubSettings;
exports.checkToken = checkToken;
exports.checkEndpoint = checkEndpoint;
exports.cachedCommit = cachedCommit;
exports.cachedTree = cachedTree;
exports.filesUnder = filesUnder;
exports.inMirror = inMirror;
exports.keepTree = keepTree;
exports.keepCommit = keepCommit;
exports.tagCache = tagCache;
exports.place = place;
const node_fs_1 = require("node:fs");
const promises_1 = require("node:fs/promises");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const errors_1 = require("../core/errors");
const hubname_1 = require("../core/hubname");
const files_1 = require("./files");
/**
 * The hub's cache on disk, shared with Python's huggingface_hub:
 *
 *   models--org--name/blobs/<sha256 or git sha1>       contents
 *   models--org--name/snapshots/<commit>/<path>        links to them
 *   models--org--name/refs/<branch or tag>             the commit it was last
 *   models--org--name/trees/<commit>.json              all files of a commit
 * @see https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
const yes = (value) => /^(1|on|yes|true)$/i.test(value ?? "");
const home = (path) => (0, node_path_1.resolve)(path.replace(/^~(?=\/|$)/, (0, node_os_1.homedir)()));
/** Where Python's huggingface_hub keeps its things, from the same variables. @see https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables */
function hubSettings(env = process.env) {
    const folder = home(env.HF_HOME || (0, node_path_1.join)(env.XDG_CACHE_HOME || "~/.cache", "huggingface"));
    const tokenFile = home(env.HF_TOKEN_PATH || (0, node_path_1.join)(folder, "token"));
    return {
        cache: home(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || (0, node_path_1.join)(folder, "hub")),
        endpoint: env.HF_ENDPOINT || "https://huggingface.co",
        offline: yes(env.HF_HUB_OFFLINE) || yes(env.TRANSFORMERS_OFFLINE),
        tokenFile,
        token() {
            if (yes(env.HF_HUB_DISABLE_IMPLICIT_TOKEN))
                return undefined;
            const named = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || "").trim();
            if (named)
                return named;
            try {
                return (0, node_fs_1.readFileSync)(tokenFile, "utf8").trim() || undefined;
            }
            catch {
                return undefined; // none, or not ours to read: the hub says if one is needed
            }
        },
    };
}
/** @throws OptionError where a token cannot go into a header */
function checkToken(token) {
    if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
        throw new errors_1.OptionError("token: expected one word of printable ASCII, such as hf_…, found spaces or other characters (not shown). Copy it again.");
    }
    return token;
}
/** @throws OptionError where it is no address */
function checkEndpoint(endpoint) {
    if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
        throw new errors_1.OptionError(`endpoint: expected an address such as https://huggingface.co (HF_ENDPOINT), found ${JSON.stringify(endpoint)}.`);
    }
    return endpoint.replace(/\/+$/, "");
}
const repositoryOf = (cache, id) => (0, node_path_1.join)(cache, (0, hubname_1.repositoryFolder)(id));
exports.repositoryOf = repositoryOf;
const snapshotOf = (repository, commit) => (0, node_path_1.join)(repository, "snapshots", commit);
exports.snapshotOf = snapshotOf;
/** The commit a revision was when it was last asked for. */
function cachedCommit(repository, revision) {
    if ((0, hubname_1.isCommit)(revision))
        return revision;
    try {
        const commit = (0, node_fs_1.readFileSync)((0, node_path_1.join)(repository, "refs", revision), "utf8").trim();
        return (0, hubname_1.isCommit)(commit) ? commit : undefined;
    }
    catch {
        return undefined;
    }
}
/** All files of a commit, where the list was kept. */
function cachedTree(repository, commit) {
    try {
        return (0, hubname_1.readTreeText)((0, node_fs_1.readFileSync)((0, node_path_1.join)(repository, "trees", `${commit}.json`), "utf8"));
    }
    catch {
        return undefined;
    }
}
/** Files under a folder, links followed, in the order of their names; hidden folders (.git, .cache) left out. */
function filesUnder(folder) {
    const walk = (inner) => (0, node_fs_1.readdirSync)((0, node_path_1.join)(folder, inner), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((entry) => {
        const path = inner ? `${inner}/${entry.name}` : entry.name;
        const full = (0, node_path_1.join)(folder, path);
        if (entry.isDirectory())
            return entry.name.startsWith(".") ? [] : walk(path);
        const stat = (0, node_fs_1.statSync)(full, { throwIfNoEntry: false }); // undefined: a link to what is gone
        if (!stat?.isFile() || !(0, hubname_1.isSafePath)(path))
            return [];
        const blob = entry.isSymbolicLink() ? (0, node_path_1.basename)((0, node_fs_1.readlinkSync)(full)) : "";
        return [{ path, size: stat.size, ...(/^[0-9a-f]{64}$/.test(blob) ? { sha256: blob } : (0, hubname_1.isCommit)(blob) ? { oid: blob } : {}) }];
    });
    return (0, node_fs_1.existsSync)(folder) ? walk("") : [];
}
/** Whether a file is in place, with the size it should have. */
const isThere = (path, size) => {
    const stat = (0, node_fs_1.statSync)(path, { throwIfNoEntry: false });
    return stat?.isFile() === true && stat.size === size;
};
exports.isThere = isThere;
/** Folder of a model in a mirror: `<mirror>/<org>/<name>`, or a cache of the hub's layout. */
function inMirror(mirror, id, revision) {
    if (!(0, node_fs_1.existsSync)(mirror))
        throw new errors_1.HubError(`${mirror}: expected a folder of models (mirror), found none. Correct its path, or leave it out.`);
    const repository = (0, exports.repositoryOf)((0, node_path_1.resolve)(mirror), id);
    const commit = cachedCommit(repository, revision);
    if (commit && (0, node_fs_1.existsSync)((0, exports.snapshotOf)(repository, commit))) {
        const folder = (0, exports.snapshotOf)(repository, commit);
        return { folder, commit, files: cachedTree(repository, commit) ?? filesUnder(folder) };
    }
    const folder = (0, node_path_1.resolve)(mirror, ...id.split("/"));
    // a plain folder does not say which commit it is: it stands for the model, not for a certain revision of it
    return revision === "main" && (0, node_fs_1.statSync)(folder, { throwIfNoEntry: false })?.isDirectory() ? { folder, files: filesUnder(folder) } : undefined;
}
async function keepTree(repository, commit, files) {
    (0, hubname_1.checkPaths)(files, commit);
    await (0, promises_1.mkdir)((0, node_path_1.join)(repository, "trees"), { recursive: true });
    await (0, files_1.writeAtomic)((0, node_path_1.join)(repository, "trees", `${commit}.json`), [(0, hubname_1.treeText)(files)]);
}
/** Notes which commit a revision is; nothing is written where that is on record. */
async function keepCommit(repository, revision, commit) {
    if ((0, hubname_1.isCommit)(revision) || cachedCommit(repository, revision) === commit)
        return;
    const file = (0, node_path_1.join)(repository, "refs", revision);
    await (0, promises_1.mkdir)((0, node_path_1.dirname)(file), { recursive: true });
    await (0, files_1.writeAtomic)(file, [commit]);
}
/** Marks the cache as one, so that backups leave it out. @see https://bford.info/cachedir/ */
async function tagCache(cache) {
    await (0, promises_1.writeFile)((0, node_path_1.join)(cache, "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of models from the Hugging Face hub.\n", { flag: "wx" }).catch(() => { });
}
/** Puts a content in its place in a snapshot: a relative link, or a copy where the file system has none. */
async function place(blob, path) {
    const target = (0, node_path_1.relative)((0, node_path_1.dirname)(path), blob);
    if ((await (0, promises_1.readlink)(path).catch(() => undefined)) === target)
        return;
    await (0, promises_1.mkdir)((0, node_path_1.dirname)(path), { recursive: true });
    const part = (0, node_path_1.join)((0, node_path_1.dirname)(path), `.${(0, node_path_1.basename)(path)}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.part`);
    try {
        try {
            await (0, promises_1.symlink)(target, part);
        }
        catch (error) {
            if (!["EPERM", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "UNKNOWN"].includes(error.code ?? ""))
                throw error;
            await (0, promises_1.copyFile)(blob, part);
        }
        await (0, promises_1.rename)(part, path);
    }
    catch (error) {
        await (0, promises_1.rm)(part, { force: true }).catch(() => { });
        throw error;
    }
}
//# sourceMappingURL=hubcache.js.map