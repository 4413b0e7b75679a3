/** Where Jupyter finds the kernel: <data folder>/kernels/<name>, with kernel.json and logos. Node built-ins only, since set-up uses this too. */
export interface KernelPlace {
    /** For the user: whatever Jupyter he or she starts finds it. */
    user?: boolean;
    /** In `<prefix>/share/jupyter`: a virtual environment, a conda environment, /usr/local. */
    prefix?: string;
    /** "saelab": what notebooks ask for. */
    name?: string;
}
export interface InstallOptions extends KernelPlace {
    /** "TypeScript (saelab)": what menus show. */
    displayName?: string;
}
/**
 * Registers the kernel, in place of an older registration of ours.
 * Without `user` and `prefix` it goes into the virtual environment of set-up, or, where there is none, to the user's own kernels.
 * @returns the folder that was written
 * @throws OptionError for a name Jupyter would not take, for one that belongs to another kernel, and where nothing may be written
 */
export declare function installKernel(options?: InstallOptions): string;
/**
 * Removes a registration of ours; its place is chosen as for `installKernel`.
 * @returns the folder that was removed
 * @throws OptionError where there is none, and where the kernel is not saelab's
 */
export declare function uninstallKernel(options?: KernelPlace): string;
/**
 * Writes kernel.json and logos. A new folder appears whole; an older one of ours changes file by file, so that the kernel is never away.
 * @throws OptionError when another kernel is there already, or nothing may be written
 */
export declare function writeKernel(folder: string, displayName?: string): void;
/** All that `writeKernel` would write, as one string: set-up compares it with that of its last run. */
export declare const kernelContents: () => string;
/** Where Jupyter keeps a user's own data; the same as `jupyter --data-dir` says. */
export declare function userDataFolder(env?: NodeJS.ProcessEnv, platform?: NodeJS.Platform, home?: string): string;
