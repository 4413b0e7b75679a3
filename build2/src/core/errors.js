"use strict";
/**
 * Typed errors. Each message says, in this order: where (file, field), what was expected, what was found, and the remedy.
 * The classes exist so that a caller can tell them apart; nothing else hangs on them.
 */
Object.defineProperty(exports, "__esModule", { value: true });
exports.InterruptError = exports.EngineError = exports.DiskError = exports.HubError = exports.TrainError = exports.OptionError = exports.CheckpointError = exports.StoreError = exports.HookError = exports.ModelError = exports.FormatError = exports.TextError = void 0;
/** A text or a corpus cannot be used. */
class TextError extends Error {
    name = "TextError";
}
exports.TextError = TextError;
/** A file is not what its format says: safetensors, GGUF, ONNX, manifest. */
class FormatError extends Error {
    name = "FormatError";
}
exports.FormatError = FormatError;
/** A model folder lacks something or its family is unknown. */
class ModelError extends Error {
    name = "ModelError";
}
exports.ModelError = ModelError;
/** No such place in this model. */
class HookError extends Error {
    name = "HookError";
}
exports.HookError = HookError;
/** An activation store is missing, unfinished, or made from something else. */
class StoreError extends Error {
    name = "StoreError";
}
exports.StoreError = StoreError;
/** An SAE checkpoint cannot be read as the format it claims. */
class CheckpointError extends Error {
    name = "CheckpointError";
}
exports.CheckpointError = CheckpointError;
/** An option is out of its range. */
class OptionError extends Error {
    name = "OptionError";
}
exports.OptionError = OptionError;
/** Training came to nothing: its loss is no number any more. */
class TrainError extends Error {
    name = "TrainError";
}
exports.TrainError = TrainError;
/** The hub refused a request, or gave something other than what it had announced. */
class HubError extends Error {
    name = "HubError";
}
exports.HubError = HubError;
/** The disk cannot hold what is about to be written. */
class DiskError extends Error {
    name = "DiskError";
}
exports.DiskError = DiskError;
/** An engine (TensorFlow, ONNX Runtime) is missing or broken. */
class EngineError extends Error {
    name = "EngineError";
}
exports.EngineError = EngineError;
/** A loop was asked to stop. What it had finished is kept; the message says where. */
class InterruptError extends Error {
    name = "InterruptError";
}
exports.InterruptError = InterruptError;
//# sourceMappingURL=errors.js.map