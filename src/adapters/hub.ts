import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream, existsSync, statSync } from "node:fs";
import { mkdir, open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { HubError, InterruptError, OptionError } from "../core/errors";
import {
  blobName, checkPaths, checkRevision, isCommit, isHubId, isSafePath, nextPage, parseHubId, readTreePage, repositoryFolder, select,
  type HubFile, type HubName, type Wanted,
} from "../core/hubname";
import type { Progress } from "../core/types";
import { diskError, requireSpace, syncFolder } from "./files";
import {
  cachedCommit, cachedTree, checkEndpoint, checkToken, filesUnder, hubSettings, inMirror, isThere, keepCommit, keepTree, place, repositoryOf, snapshotOf, tagCache,
} from "./hubcache";
import { get, getJson, pause, persist, Stopped, stopIfAsked, Temporary, type Answer, type Asked, type Connection } from "./hubhttp";
import { takeLock } from "./lock";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";

export { isHubId, parseHubId };
export type { HubFile, HubName, Wanted };

export interface HubOptions {
  revision?: string; // "main", or what the name says after @: a branch, a tag or a commit
  subfolder?: string; // the root: only files below it are seen, by their paths from there
  cache?: string; // HF_HUB_CACHE, else hub in HF_HOME, else ~/.cache/huggingface/hub: shared with Python
  mirror?: string; // none: a folder of models, <mirror>/<org>/<name>/… or of the cache's layout, that goes before cache and network
  endpoint?: string; // HF_ENDPOINT, else https://huggingface.co
  token?: string | false; // HF_TOKEN, else the file token in HF_HOME; false: none
  offline?: boolean; // HF_HUB_OFFLINE: true makes no request
  retries?: number; // 5 tries more, of one request and as long as no megabyte comes
  retryDelay?: number; // 1 s before the first, doubled each time
  patience?: number; // 60 s without a byte, then the request is made again
  signal?: AbortSignal;
}

export interface DownloadOptions extends HubOptions {
  /** Paths that must be there, patterns for those that may be, or a function that picks out of the list. */
  files: Wanted;
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface Snapshot {
  /** Where the files are, subfolder included. */
  folder: string;
  /** The commit; not known of a plain folder in a mirror. */
  commit?: string;
  /** The wanted files, from `folder`. */
  files: string[];
}

/**
 * Brings files of a model on the Hugging Face hub onto this disk, into the cache that Python's huggingface_hub uses too. The revision is
 * looked up once and all files are of that commit; what is there is not asked for again, and of a full commit no request is made then.
 * Each file is checked against its hash before it is put in place. A download that was cut off or interrupted goes on where it was.
 * When the hub cannot be reached, the files that the revision had last time are given, if all are there.
 * @param name as {@link parseHubId} reads it; a folder of that name is for the caller to look up first
 * @throws HubError when the hub refuses, does not have it, gives something else, or cannot be reached; DiskError; OptionError;
 *   InterruptError, what has come is kept
 */
export async function downloadSnapshot(name: string, options: DownloadOptions): Promise<Snapshot> {
  const { model, connection, cache, offline } = settle(name, options);
  const { id, revision, subfolder } = model;
  const repository = repositoryOf(cache, id);
  const where = `${id}@${revision}${subfolder ? `/${subfolder}` : ""}`;
  if (options.mirror !== undefined) {
    const found = inMirror(options.mirror, id, revision);
    const { snapshot } = found ? onDisk(found.folder, found.commit, found.files, subfolder, options.files, where) : {};
    if (snapshot) return snapshot;
  }

  /** What a commit has on disk. `sure`: nothing but what is there can be wanted. */
  const inCache = (commit: string) => {
    const tree = cachedTree(repository, commit);
    const folder = snapshotOf(repository, commit);
    const sure = tree !== undefined || (Array.isArray(options.files) && options.files.every((file) => typeof file === "string"));
    return { sure, ...onDisk(folder, commit, tree ?? filesUnder(folder), subfolder, options.files, where) };
  };
  const before = cachedCommit(repository, revision);
  if (before && (offline || isCommit(revision))) {
    const { sure, snapshot, problem } = inCache(before);
    if (snapshot && (sure || offline)) return snapshot;
    if (offline) throw offlineError(where, repository, problem!.message);
  }
  if (offline) throw offlineError(where, repository, `Nothing of it is in ${cache}${options.mirror === undefined ? "" : `, nor all that is wanted in ${options.mirror}`}.`);

  const asked = { id, revision };
  try {
    const commit = isCommit(revision) ? revision : await commitOf(connection, asked);
    const kept = cachedTree(repository, commit);
    const tree = kept ?? await treeOf(connection, { id, revision: commit });
    const picked = select(within(tree, subfolder), options.files, where);
    const folder = snapshotOf(repository, commit);
    const lacking = picked.filter(({ path, size }) => !isThere(join(folder, subfolder ?? "", path), size));
    const keep = async (): Promise<void> => {
      if (!kept) await keepTree(repository, commit, tree);
      await keepCommit(repository, revision, commit);
    };
    await keep().catch((error) => {
      if (lacking.length) throw error; // else: a cache that may only be read serves what it has
    });
    const whole = lacking.map((file) => ({ ...file, path: subfolder ? `${subfolder}/${file.path}` : file.path }));
    if (whole.length) await fill(connection, cache, { id, revision: commit }, whole, options.progress ?? defaultProgress());
    return { folder: join(folder, subfolder ?? ""), commit, files: picked.map(({ path }) => path) };
  } catch (error) {
    if (error instanceof Stopped) {
      throw new InterruptError(`Interrupted. What has come of ${where} is kept in ${repository}: the same call goes on from there.`);
    }
    if (error instanceof HubError && error.cause instanceof Temporary && before) {
      const { snapshot } = inCache(before);
      if (snapshot) return snapshot;
    }
    throw diskError(error, repository);
  }
}

/**
 * The files of a model at one commit, as the hub lists them; offline, as the cache has them.
 * @throws HubError
 */
export async function listFiles(name: string, options: HubOptions = {}): Promise<{ id: string; commit: string; files: HubFile[] }> {
  const { model: { id, revision, subfolder }, connection, cache, offline } = settle(name, options);
  const repository = repositoryOf(cache, id);
  if (offline) {
    const commit = cachedCommit(repository, revision);
    if (!commit) throw offlineError(`${id}@${revision}`, repository, `Nothing of it is in ${cache}.`);
    return { id, commit, files: within(cachedTree(repository, commit) ?? filesUnder(snapshotOf(repository, commit)), subfolder) };
  }
  try {
    const commit = isCommit(revision) ? revision : await commitOf(connection, { id, revision });
    return { id, commit, files: within(await treeOf(connection, { id, revision: commit }), subfolder) };
  } catch (error) {
    throw error instanceof Stopped ? new InterruptError(`Interrupted. The files of ${id} were not listed.`) : error;
  }
}

/** Options with what the environment says, checked. */
function settle(name: string, options: HubOptions) {
  const parsed = parseHubId(name);
  if (options.revision !== undefined && parsed.revision !== undefined && options.revision !== parsed.revision) {
    throw new OptionError(`revision: expected one, found ${options.revision} and, in the name, ${parsed.revision}.`);
  }
  const revision = options.revision ?? parsed.revision ?? "main";
  checkRevision(revision);
  const subfolder = (options.subfolder ?? parsed.subfolder)?.replace(/\/+$/, "") || undefined;
  if (subfolder !== undefined && !isSafePath(subfolder)) throw new OptionError(`subfolder: expected a folder within the repository, found ${JSON.stringify(subfolder)}.`);
  const { retries = 5, retryDelay = 1, patience = 60 } = options;
  if (!Number.isSafeInteger(retries) || retries < 0) throw new OptionError(`retries: expected a whole number from 0, found ${retries}.`);
  if (!(retryDelay >= 0)) throw new OptionError(`retryDelay: expected seconds from 0, found ${retryDelay}.`);
  if (!(patience > 0)) throw new OptionError(`patience: expected seconds above 0, found ${patience}.`);
  const settings = hubSettings();
  const offline = options.offline ?? settings.offline;
  const connection: Connection = {
    endpoint: checkEndpoint(options.endpoint ?? settings.endpoint),
    token: offline || options.token === false ? undefined : checkToken(options.token ?? settings.token()),
    tokenFile: settings.tokenFile, retries, retryDelay, patience, signal: options.signal,
  };
  return { model: { id: parsed.id, revision, subfolder }, connection, cache: resolve(options.cache ?? settings.cache), offline };
}

const offlineError = (where: string, repository: string, what: string): HubError =>
  new HubError(`${where}: expected its files on disk (${repository}), as no request may be made (offline: true, or HF_HUB_OFFLINE). ${what} Run once online, or copy the folder from another computer.`);

/** Files below a folder, with their paths from there. */
const within = (files: HubFile[], subfolder: string | undefined): HubFile[] =>
  !subfolder ? files : files.filter(({ path }) => path.startsWith(`${subfolder}/`)).map((file) => ({ ...file, path: file.path.slice(subfolder.length + 1) }));

/** The snapshot, if all that is wanted is there; else what is not. */
function onDisk(
  root: string, commit: string | undefined, list: HubFile[], subfolder: string | undefined, wanted: Wanted, where: string,
): { snapshot?: Snapshot; problem?: Error } {
  const folder = join(root, subfolder ?? "");
  try {
    const picked = select(within(list, subfolder), wanted, where);
    const missing = picked.filter(({ path, size }) => !isThere(join(folder, path), size));
    if (missing.length) return { problem: new HubError(`Missing: ${missing.map(({ path }) => path).join(", ")}.`) };
    return { snapshot: { folder, commit, files: picked.map(({ path }) => path) } };
  } catch (error) {
    return { problem: error as Error }; // nothing fits, or the caller's choice says so: the hub may have more
  }
}

const api = ({ endpoint }: Connection, { id }: Asked, part: string): string => `${endpoint}/api/models/${id}/${part}`;

async function commitOf(connection: Connection, asked: Asked): Promise<string> {
  const url = api(connection, asked, `revision/${encodeURIComponent(asked.revision)}`);
  const { json } = await getJson(connection, url, asked);
  const commit = (json as { sha?: unknown } | null)?.sha;
  if (typeof commit !== "string" || !isCommit(commit)) throw new HubError(`${url}: expected the commit (sha: 40 hexadecimal digits), found ${JSON.stringify(commit) ?? "none"}. Is HF_ENDPOINT the hub, or a copy of it?`);
  return commit;
}

/** All files of a commit, page after page. */
async function treeOf(connection: Connection, asked: Asked): Promise<HubFile[]> {
  const base = api(connection, asked, `tree/${asked.revision}?recursive=true`);
  const files: HubFile[] = [];
  const seen = new Set<string>();
  for (let url: string | undefined = base; url;) {
    if (seen.has(url)) throw new HubError(`${base}: expected a list with an end, found the same page again.`);
    seen.add(url);
    const { json, link }: { json: unknown; link: string | null } = await getJson(connection, url, asked);
    for (const file of readTreePage(json, base)) files.push(file);
    const next = nextPage(link);
    // of the address only the query is taken: a copy of the hub may name the hub's own, where nobody sent us
    url = next && URL.canParse(next, url) ? base.replace(/\?.*/, "") + new URL(next, url).search : undefined;
  }
  checkPaths(files, base);
  return files;
}

/** Downloads what is lacking, one file after the other, each into its blob and then into place. */
async function fill(connection: Connection, cache: string, asked: Asked, files: HubFile[], progress: Progress | undefined): Promise<void> {
  const repository = repositoryOf(cache, asked.id);
  const blobs = join(repository, "blobs");
  const locks = join(cache, ".locks", repositoryFolder(asked.id));
  const wanting = new Map(files.map((file) => [blobName(file), file]));
  for (const [name, { size }] of wanting) if (isThere(join(blobs, name), size)) wanting.delete(name);
  const total = [...wanting.values()].reduce((sum, { size }) => sum + size, 0);
  const begun = [...wanting].reduce((sum, [name, { size }]) => sum + Math.min(size, sizeOf(partOf(join(blobs, name)))), 0);
  await requireSpace(blobs, total - begun);
  await mkdir(locks, { recursive: true });
  await tagCache(cache);
  const [scale, unit] = total >= 1e7 ? [1e6, "MB"] : total >= 1e4 ? [1e3, "kB"] : [1, "bytes"];
  const tell = meter(`Download ${asked.id}`, Math.ceil(total / scale), unit, progress, Math.floor(begun / scale));
  let done = 0;
  for (const file of files) {
    const name = blobName(file);
    const blob = join(blobs, name);
    const path = join(snapshotOf(repository, asked.revision), file.path);
    // a name of our own: Python's locks (flock) are not seen from here
    await alone(connection, join(locks, `${name}.saelab.lock`), blob, async () => {
      let got = 0;
      const report = (bytes: number): void => {
        got += bytes;
        // rounded up only when all is there
        tell(done + got >= total ? Math.ceil(total / scale) : Math.floor((done + got) / scale), file.path);
      };
      if (!isThere(blob, file.size)) await download(connection, { ...asked, file: file.path }, file, blob, report);
      if (wanting.delete(name)) {
        report(file.size - got); // another process brought it
        done += file.size;
      }
      await place(blob, path);
    });
  }
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** The beginning of a blob. A name that Python does not use: it would append without our lock. */
const partOf = (blob: string): string => `${blob}.saelab.incomplete`;

/** Runs the work while no other process does it; waits for one that does, as long as its download grows. */
async function alone(connection: Connection, lock: string, blob: string, work: () => Promise<void>): Promise<void> {
  let size = -1;
  let since = performance.now();
  for (;;) {
    let holder = "";
    let release: (() => void) | undefined;
    try {
      release = takeLock(lock, (who) => {
        holder = who;
        return new HubError(who);
      });
    } catch (error) {
      if (!holder) throw error;
    }
    if (release) {
      try {
        return await work();
      } finally {
        release();
      }
    }
    const now = sizeOf(existsSync(blob) ? blob : partOf(blob));
    if (now !== size) [size, since] = [now, performance.now()];
    if (performance.now() - since > 10_000 * connection.patience) {
      throw new HubError(`${lock}: expected the download of another process to go on, found it still for ${10 * connection.patience} s: ${holder}. End that process; if it is gone, delete this file.`);
    }
    await pause(0.2, connection);
  }
}

const digestOf = ({ sha256, size }: HubFile): Hash => (sha256 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`));

/**
 * One file into its blob: goes on where a part ends, checks size and hash, flushes, renames.
 * @param report is told of bytes as they are there, less when they are thrown away
 */
async function download(connection: Connection, asked: Asked & { file: string }, file: HubFile, blob: string, report: (bytes: number) => void): Promise<void> {
  const url = `${connection.endpoint}/${asked.id}/resolve/${asked.revision}/${asked.file.split("/").map(encodeURIComponent).join("/")}`;
  const where = `${asked.id}: ${asked.file}`;
  const part = partOf(blob);
  const state: Part = { file: await open(part, constants.O_RDWR | constants.O_CREAT), at: 0, hash: digestOf(file) };
  try {
    for (let round = 0; ; round++) {
      await resume(connection, state, part, file, report);
      let begun = 0;
      await persist(connection, async () => {
        begun = state.at;
        if (state.at < file.size) await request(connection, url, asked, file, state, report, where);
      }, () => state.at - begun >= 2 ** 20);
      const found = state.hash.digest("hex");
      if (found === blobName(file)) break;
      await restart(state, file, report);
      if (round) {
        throw new HubError(
          `${where}: expected ${file.sha256 ? "SHA-256" : "git SHA-1"} ${blobName(file)}, found ${found}, twice. ` +
          "What came was thrown away. Something on the way changes files (a proxy, a copy of the hub): try another network or HF_ENDPOINT.");
      }
    }
    await state.file.sync();
    await state.file.close();
    await rename(part, blob);
    await syncFolder(dirname(blob));
  } catch (error) {
    await state.file.close().catch(() => {});
    if (state.at === 0 && !sizeOf(part)) await rm(part, { force: true });
    throw diskError(error, part);
  }
}

/** A blob on its way: how far it is, the hash so far, and the mark by which the server knows its version. */
interface Part {
  file: FileHandle;
  at: number;
  hash: Hash;
  etag?: string;
}

/** Takes over what an earlier run left. */
async function resume(connection: Connection, state: Part, path: string, file: HubFile, report: (bytes: number) => void): Promise<void> {
  const { size } = await state.file.stat();
  if (size > file.size) return restart(state, file, report);
  if (size === 0) return;
  for await (const piece of createReadStream(path, { end: size - 1, highWaterMark: 2 ** 20 })) {
    stopIfAsked(connection);
    state.hash.update(piece as Buffer);
    state.at += (piece as Buffer).length;
  }
  report(state.at);
}

async function restart(state: Part, file: HubFile, report: (bytes: number) => void): Promise<void> {
  await state.file.truncate(0);
  report(-state.at);
  state.at = 0;
  state.hash = digestOf(file);
  state.etag = undefined;
}

/** Asks for the rest of a file and writes it as it comes. @throws Temporary when less comes than there is */
async function request(
  connection: Connection, url: string, asked: Asked, file: HubFile, state: Part, report: (bytes: number) => void, where: string,
): Promise<void> {
  const headers: Record<string, string> = state.at > 0 ? { range: `bytes=${state.at}-`, ...(state.etag ? { "if-range": state.etag } : {}) } : {};
  await get(connection, url, asked, headers, async ({ response, body }: Answer) => {
    const { status } = response;
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
    if (state.at > 0 && status === 206 && Number(range?.[1]) === state.at) {
      if (range![2] !== "*" && Number(range![2]) !== file.size) throw sizeError(where, file, Number(range![2]));
    } else {
      await restart(state, file, report); // the server sends all of it, or cannot go on from here
      if (status !== 200) throw new Temporary(`${where}: expected the file from its beginning or from where it was cut off, found ${status} ${range?.[0] ?? ""}.`);
      const announced = response.headers.get("content-length");
      if (announced !== null && !response.headers.has("content-encoding") && Number(announced) !== file.size) throw sizeError(where, file, Number(announced));
    }
    const etag = response.headers.get("etag");
    state.etag = etag && !etag.startsWith("W/") ? etag : undefined;
    for await (const piece of body()) {
      if (state.at + piece.length > file.size) {
        const found = state.at + piece.length;
        await restart(state, file, report);
        throw sizeError(where, file, found);
      }
      for (let from = 0; from < piece.length;) from += (await state.file.write(piece, from, piece.length - from, state.at + from)).bytesWritten;
      state.hash.update(piece);
      state.at += piece.length;
      report(piece.length);
    }
    if (state.at < file.size) throw new Temporary(`${where}: expected ${file.size} bytes, found that the connection ends after ${state.at}.`);
  }, (own) => checkAnnounced(own, asked, file, where));
}

const sizeError = (where: string, file: HubFile, found: number): HubError =>
  new HubError(`${where}: expected ${file.size} bytes, as the hub lists it, found ${found} or more. Something on the way changes files (a proxy, a copy of the hub): try another network or HF_ENDPOINT.`);

/** What the hub says of a file before it sends us to where it lies. */
function checkAnnounced(own: Headers, asked: Asked, file: HubFile, where: string): void {
  const commit = own.get("x-repo-commit");
  if (commit !== null && commit !== asked.revision) throw new HubError(`${where}: expected the file of commit ${asked.revision}, found that of ${commit}. Is HF_ENDPOINT the hub, or a copy of it?`);
  const size = own.get("x-linked-size");
  if (size !== null && Number(size) !== file.size) throw sizeError(where, file, Number(size));
  const hash = own.get("x-linked-etag")?.replace(/^W\//, "").replaceAll("\"", "");
  if (file.sha256 && hash && /^[0-9a-f]{64}$/.test(hash) && hash !== file.sha256) {
    throw new HubError(`${where}: expected SHA-256 ${file.sha256}, as the hub lists it, found ${hash} announced. Try again later.`);
  }
}
