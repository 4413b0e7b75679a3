/**
 * Typed errors. Each message says, in this order: where (file, field), what was expected, what was found, and the remedy.
 * The classes exist so that a caller can tell them apart; nothing else hangs on them.
 */
/** A text or a corpus cannot be used. */
export declare class TextError extends Error {
    name: string;
}
/** A file is not what its format says: safetensors, GGUF, ONNX, manifest. */
export declare class FormatError extends Error {
    name: string;
}
/** A model folder lacks something or its family is unknown. */
export declare class ModelError extends Error {
    name: string;
}
/** No such place in this model. */
export declare class HookError extends Error {
    name: string;
}
/** An activation store is missing, unfinished, or made from something else. */
export declare class StoreError extends Error {
    name: string;
}
/** An SAE checkpoint cannot be read as the format it claims. */
export declare class CheckpointError extends Error {
    name: string;
}
/** An option is out of its range. */
export declare class OptionError extends Error {
    name: string;
}
/** Training came to nothing: its loss is no number any more. */
export declare class TrainError extends Error {
    name: string;
}
/** The hub refused a request, or gave something other than what it had announced. */
export declare class HubError extends Error {
    name: string;
}
/** The disk cannot hold what is about to be written. */
export declare class DiskError extends Error {
    name: string;
}
/** An engine (TensorFlow, ONNX Runtime) is missing or broken. */
export declare class EngineError extends Error {
    name: string;
}
/** A loop was asked to stop. What it had finished is kept; the message says where. */
export declare class InterruptError extends Error {
    name: string;
}
