import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { copyFile, mkdir, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { HubError, OptionError } from "../core/errors";
import { checkPaths, isCommit, isSafePath, readTreeText, repositoryFolder, treeText, type HubFile } from "../core/hubname";
import { writeAtomic } from "./files";

/**
 * The hub's cache on disk, shared with Python's huggingface_hub:
 *
 *   models--org--name/blobs/<sha256 or git sha1>       contents
 *   models--org--name/snapshots/<commit>/<path>        links to them
 *   models--org--name/refs/<branch or tag>             the commit it was last
 *   models--org--name/trees/<commit>.json              all files of a commit
 * @see https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */

const yes = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");
const home = (path: string): string => resolve(path.replace(/^~(?=\/|$)/, homedir()));

/** Where Python's huggingface_hub keeps its things, from the same variables. @see https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables */
export function hubSettings(env: NodeJS.ProcessEnv = process.env) {
  const folder = home(env.HF_HOME || join(env.XDG_CACHE_HOME || "~/.cache", "huggingface"));
  const tokenFile = home(env.HF_TOKEN_PATH || join(folder, "token"));
  return {
    cache: home(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(folder, "hub")),
    endpoint: env.HF_ENDPOINT || "https://huggingface.co",
    offline: yes(env.HF_HUB_OFFLINE) || yes(env.TRANSFORMERS_OFFLINE),
    tokenFile,
    token(): string | undefined {
      if (yes(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
      const named = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || "").trim();
      if (named) return named;
      try {
        return readFileSync(tokenFile, "utf8").trim() || undefined;
      } catch {
        return undefined; // none, or not ours to read: the hub says if one is needed
      }
    },
  };
}

/** @throws OptionError where a token cannot go into a header */
export function checkToken(token: string | undefined): string | undefined {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new OptionError("token: expected one word of printable ASCII, such as hf_…, found spaces or other characters (not shown). Copy it again.");
  }
  return token;
}

/** @throws OptionError where it is no address */
export function checkEndpoint(endpoint: string): string {
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new OptionError(`endpoint: expected an address such as https://huggingface.co (HF_ENDPOINT), found ${JSON.stringify(endpoint)}.`);
  }
  return endpoint.replace(/\/+$/, "");
}

export const repositoryOf = (cache: string, id: string): string => join(cache, repositoryFolder(id));
export const snapshotOf = (repository: string, commit: string): string => join(repository, "snapshots", commit);

/** The commit a revision was when it was last asked for. */
export function cachedCommit(repository: string, revision: string): string | undefined {
  if (isCommit(revision)) return revision;
  try {
    const commit = readFileSync(join(repository, "refs", revision), "utf8").trim();
    return isCommit(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** All files of a commit, where the list was kept. */
export function cachedTree(repository: string, commit: string): HubFile[] | undefined {
  try {
    return readTreeText(readFileSync(join(repository, "trees", `${commit}.json`), "utf8"));
  } catch {
    return undefined;
  }
}

/** Files under a folder, links followed, in the order of their names; hidden folders (.git, .cache) left out. */
export function filesUnder(folder: string): HubFile[] {
  const walk = (inner: string): HubFile[] =>
    readdirSync(join(folder, inner), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((entry): HubFile[] => {
      const path = inner ? `${inner}/${entry.name}` : entry.name;
      const full = join(folder, path);
      if (entry.isDirectory()) return entry.name.startsWith(".") ? [] : walk(path);
      const stat = statSync(full, { throwIfNoEntry: false }); // undefined: a link to what is gone
      if (!stat?.isFile() || !isSafePath(path)) return [];
      const blob = entry.isSymbolicLink() ? basename(readlinkSync(full)) : "";
      return [{ path, size: stat.size, ...(/^[0-9a-f]{64}$/.test(blob) ? { sha256: blob } : isCommit(blob) ? { oid: blob } : {}) }];
    });
  return existsSync(folder) ? walk("") : [];
}

/** Whether a file is in place, with the size it should have. */
export const isThere = (path: string, size: number): boolean => {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size === size;
};

/** Folder of a model in a mirror: `<mirror>/<org>/<name>`, or a cache of the hub's layout. */
export function inMirror(mirror: string, id: string, revision: string): { folder: string; commit?: string; files: HubFile[] } | undefined {
  if (!existsSync(mirror)) throw new HubError(`${mirror}: expected a folder of models (mirror), found none. Correct its path, or leave it out.`);
  const repository = repositoryOf(resolve(mirror), id);
  const commit = cachedCommit(repository, revision);
  if (commit && existsSync(snapshotOf(repository, commit))) {
    const folder = snapshotOf(repository, commit);
    return { folder, commit, files: cachedTree(repository, commit) ?? filesUnder(folder) };
  }
  const folder = resolve(mirror, ...id.split("/"));
  // a plain folder does not say which commit it is: it stands for the model, not for a certain revision of it
  return revision === "main" && statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? { folder, files: filesUnder(folder) } : undefined;
}

export async function keepTree(repository: string, commit: string, files: HubFile[]): Promise<void> {
  checkPaths(files, commit);
  await mkdir(join(repository, "trees"), { recursive: true });
  await writeAtomic(join(repository, "trees", `${commit}.json`), [treeText(files)]);
}

/** Notes which commit a revision is; nothing is written where that is on record. */
export async function keepCommit(repository: string, revision: string, commit: string): Promise<void> {
  if (isCommit(revision) || cachedCommit(repository, revision) === commit) return;
  const file = join(repository, "refs", revision);
  await mkdir(dirname(file), { recursive: true });
  await writeAtomic(file, [commit]);
}

/** Marks the cache as one, so that backups leave it out. @see https://bford.info/cachedir/ */
export async function tagCache(cache: string): Promise<void> {
  await writeFile(join(cache, "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of models from the Hugging Face hub.\n", { flag: "wx" }).catch(() => {});
}

/** Puts a content in its place in a snapshot: a relative link, or a copy where the file system has none. */
export async function place(blob: string, path: string): Promise<void> {
  const target = relative(dirname(path), blob);
  if ((await readlink(path).catch(() => undefined)) === target) return;
  await mkdir(dirname(path), { recursive: true });
  const part = join(dirname(path), `.${basename(path)}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.part`);
  try {
    try {
      await symlink(target, part);
    } catch (error) {
      if (!["EPERM", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "UNKNOWN"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
      await copyFile(blob, part);
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw error;
  }
}
