import type { SaeInitializers } from "../core/writes";
/**
 * SAEs in a model's graph: their weights are read from a file, like the model's. Those of a float32 checkpoint are read where they
 * lie; others are put into a temporary file, once, which goes with the model.
 */
export declare function saeFiles(): {
    initializers: SaeInitializers;
    close(): void;
};
