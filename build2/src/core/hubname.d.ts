/** Names on the Hugging Face hub: repositories, revisions, the files of a commit and how they are called in the cache. */
export interface HubName {
    /** "org/name", or "name" alone for the hub's oldest models. */
    id: string;
    revision?: string;
    subfolder?: string;
}
/** A file of a repository at one commit. */
export interface HubFile {
    /** From the repository's root, with `/`. */
    path: string;
    /** Bytes. */
    size: number;
    /** Its git object: the SHA-1 of "blob <size>\0" and the content; of the pointer where the content is in LFS. Not known of a plain folder. */
    oid?: string;
    /** SHA-256 of the content, where it is in LFS. */
    sha256?: string;
    xetHash?: string;
}
/** Paths that must be there, patterns for those that may, or a choice among what there is. */
export type Wanted = (string | RegExp)[] | ((files: HubFile[]) => (string | HubFile)[]);
/** Whether a text can be the name of a model on the hub: what {@link parseHubId} reads. A folder of that name goes first; that is the caller's to look up. */
export declare function isHubId(text: string): boolean;
/**
 * Reads `org/name`, `name`, either with `@revision`; the same after `hf://`; `https://huggingface.co/org/name`, also with
 * `/tree/revision` and a folder after it.
 * @throws HubError for anything else
 * @see https://huggingface.co/docs/huggingface_hub/package_reference/hf_uris
 */
export declare function parseHubId(text: string): HubName;
/** A revision becomes part of addresses and the name of a file. @throws OptionError for what git would not take as the name of a branch or tag */
export declare function checkRevision(revision: string): void;
export declare const isCommit: (revision: string) => boolean;
/** Name of a repository's folder in the cache, "models--org--name". */
export declare const repositoryFolder: (id: string) => string;
/** Name of a file's content in the cache. */
export declare const blobName: (file: HubFile) => string;
/** Whether a path stays within the folder it is put into, on every file system. */
export declare const isSafePath: (path: string) => boolean;
/** @throws HubError when a path leads out of the repository, or a file is a folder too: nothing of such a list is used */
export declare function checkPaths(files: HubFile[], where: string): void;
/**
 * The files of one page of the hub's tree of a commit: [{ type, path, size, oid, lfs?: { oid, size } }].
 * @throws HubError where it is not that
 */
export declare function readTreePage(page: unknown, where: string): HubFile[];
/** Address of the next page out of a Link header (RFC 8288); undefined at the last. */
export declare const nextPage: (link: string | null) => string | undefined;
/** A commit's list of files as newer versions of huggingface_hub keep it: trees/<commit>.json. @see huggingface_hub/_tree_cache.py */
export declare const treeText: (files: HubFile[]) => string;
/** Reads {@link treeText}; undefined where it is of another version or damaged, so that it is asked for again. */
export declare function readTreeText(text: string): HubFile[] | undefined;
/**
 * The files that are wanted, in the order of the list. A text must be there; of a pattern there may be none.
 * @throws HubError when a file is not there, or nothing is wanted at all
 */
export declare function select(files: HubFile[], wanted: Wanted, where: string): HubFile[];
