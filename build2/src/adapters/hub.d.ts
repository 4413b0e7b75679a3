import { isHubId, parseHubId, type HubFile, type HubName, type Wanted } from "../core/hubname";
import type { Progress } from "../core/types";
export { isHubId, parseHubId };
export type { HubFile, HubName, Wanted };
export interface HubOptions {
    revision?: string;
    subfolder?: string;
    cache?: string;
    mirror?: string;
    endpoint?: string;
    token?: string | false;
    offline?: boolean;
    retries?: number;
    retryDelay?: number;
    patience?: number;
    signal?: AbortSignal;
}
export interface DownloadOptions extends HubOptions {
    /** Paths that must be there, patterns for those that may be, or a function that picks out of the list. */
    files: Wanted;
    progress?: Progress;
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
export declare function downloadSnapshot(name: string, options: DownloadOptions): Promise<Snapshot>;
/**
 * The files of a model at one commit, as the hub lists them; offline, as the cache has them.
 * @throws HubError
 */
export declare function listFiles(name: string, options?: HubOptions): Promise<{
    id: string;
    commit: string;
    files: HubFile[];
}>;
