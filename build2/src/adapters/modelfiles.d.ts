import type { Weight } from "../core/build";
/** The files of a model on disk: which there are, what tensors they hold, what they hash to. */
export declare function readJson(path: string): any;
/** The files of a checkpoint folder that hold numbers. */
export declare function checkpointFiles(folder: string): {
    config: string;
    weights: string[];
};
/** All tensors of the files, as places on the disk: real paths, for ONNX Runtime takes no link that leads out of the folder it is told. */
export declare function readWeights(paths: string[]): Map<string, Weight>;
/** SHA-256 over names, sizes and contents, in order; remembered as long as the files stay as they are. */
export declare function hashFiles(paths: string[]): Promise<string>;
