/** What Jupyter keeps in kernel.json: how to start the kernel, and under which name to offer it. */
export interface KernelSpec {
    argv: string[];
    display_name: string;
    language: string;
    interrupt_mode: "signal" | "message";
    env: Record<string, string>;
    metadata: Record<string, unknown>;
}
/**
 * The kernelspec of saelab. Only node:path is used, so a set-up script may load this file before anything is installed.
 * @param node absolute path of the Node that runs the kernel: the one the native modules were built for
 * @param packageRoot folder of this package, the one that holds build/
 * @returns the object to write as <jupyter data folder>/kernels/saelab/kernel.json
 */
export declare function kernelSpec({ node, packageRoot }: {
    node: string;
    packageRoot: string;
}): KernelSpec;
