import { type HubFile } from "../core/hubname";
/** Where Python's huggingface_hub keeps its things, from the same variables. @see https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables */
export declare function hubSettings(env?: NodeJS.ProcessEnv): {
    cache: string;
    endpoint: string;
    offline: boolean;
    tokenFile: string;
    token(): string | undefined;
};
/** @throws OptionError where a token cannot go into a header */
export declare function checkToken(token: string | undefined): string | undefined;
/** @throws OptionError where it is no address */
export declare function checkEndpoint(endpoint: string): string;
export declare const repositoryOf: (cache: string, id: string) => string;
export declare const snapshotOf: (repository: string, commit: string) => string;
/** The commit a revision was when it was last asked for. */
export declare function cachedCommit(repository: string, revision: string): string | undefined;
/** All files of a commit, where the list was kept. */
export declare function cachedTree(repository: string, commit: string): HubFile[] | undefined;
/** Files under a folder, links followed, in the order of their names; hidden folders (.git, .cache) left out. */
export declare function filesUnder(folder: string): HubFile[];
/** Whether a file is in place, with the size it should have. */
export declare const isThere: (path: string, size: number) => boolean;
/** Folder of a model in a mirror: `<mirror>/<org>/<name>`, or a cache of the hub's layout. */
export declare function inMirror(mirror: string, id: string, revision: string): {
    folder: string;
    commit?: string;
    files: HubFile[];
} | undefined;
export declare function keepTree(repository: string, commit: string, files: HubFile[]): Promise<void>;
/** Notes which commit a revision is; nothing is written where that is on record. */
export declare function keepCommit(repository: string, revision: string, commit: string): Promise<void>;
/** Marks the cache as one, so that backups leave it out. @see https://bford.info/cachedir/ */
export declare function tagCache(cache: string): Promise<void>;
/** Puts a content in its place in a snapshot: a relative link, or a copy where the file system has none. */
export declare function place(blob: string, path: string): Promise<void>;
