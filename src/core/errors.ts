/**
 * Typed errors. Each message says, in this order: where (file, field), what was expected, what was found, and the remedy.
 * The classes exist so that a caller can tell them apart; nothing else hangs on them.
 */

/** A text or a corpus cannot be used. */
export class TextError extends Error {
  override name = "TextError";
}

/** A file is not what its format says: safetensors, GGUF, ONNX, manifest. */
export class FormatError extends Error {
  override name = "FormatError";
}

/** A model folder lacks something or its family is unknown. */
export class ModelError extends Error {
  override name = "ModelError";
}

/** No such place in this model. */
export class HookError extends Error {
  override name = "HookError";
}

/** An activation store is missing, unfinished, or made from something else. */
export class StoreError extends Error {
  override name = "StoreError";
}

/** An SAE checkpoint cannot be read as the format it claims. */
export class CheckpointError extends Error {
  override name = "CheckpointError";
}

/** An option is out of its range. */
export class OptionError extends Error {
  override name = "OptionError";
}

/** Training came to nothing: its loss is no number any more. */
export class TrainError extends Error {
  override name = "TrainError";
}

/** The hub refused a request, or gave something other than what it had announced. */
export class HubError extends Error {
  override name = "HubError";
}

/** The endpoint of a language model that labels features refused, or answered something else than was asked. */
export class ProviderError extends Error {
  override name = "ProviderError";
}

/** The disk cannot hold what is about to be written. */
export class DiskError extends Error {
  override name = "DiskError";
}

/** An engine (TensorFlow, ONNX Runtime) is missing or broken. */
export class EngineError extends Error {
  override name = "EngineError";
}

/**
 * An engine ran out of memory: the machine's, or the card's.
 * @property intact whether what it worked on is as it was before the call: a training step may then go on with smaller pieces
 * @property bytes that were asked for, where the engine tells
 */
export class MemoryError extends EngineError {
  override name = "MemoryError";
  readonly intact: boolean;
  readonly bytes: number | undefined;
  constructor(message: string, { intact = false, bytes, cause }: { intact?: boolean; bytes?: number; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.intact = intact;
    this.bytes = bytes;
  }
}

/** A device (a graphics card, its driver) went away, and with it all that lay in its memory. */
export class DeviceLostError extends EngineError {
  override name = "DeviceLostError";
}

/** A loop was asked to stop. What it had finished is kept; the message says where. */
export class InterruptError extends Error {
  override name = "InterruptError";
}
