import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { OptionError } from "../core/errors";
import { fileVersion, scalarSummary, sessionStart } from "../core/events";
import { diskError } from "./files";

/**
 * Event files for TensorBoard: `tensorboard --logdir FOLDER` shows them while they grow. Written by us and not by
 * TensorFlow's own kernels, which keep one file a folder for the life of the process, take no time and no step from 2^31 on.
 */

export interface EventFile {
  path: string;
  /**
   * Appends the values of one step; they are with the system when it returns.
   * @param values tag → value; a slash in a tag groups it
   * @param wallTime seconds since 1970; now
   * @throws OptionError for a step that is no whole number from 0 on; DiskError, what was there before is kept
   */
  scalars(step: number, values: Record<string, number>, wallTime?: number): void;
  close(): void;
}

export interface EventFileOptions {
  resumedAt?: number; // nothing: the step a run goes on from; what earlier files of the folder hold of it and of later steps is void
}

const PREFIX = "events.out.tfevents.";
let files = 0;

/**
 * Begins an event file of a run. A run is a folder to TensorBoard; one that goes on gets a further file there.
 * @param name of the run: a folder in `folder`, characters that no folder can have as "_"; `folder` itself by default
 * @throws DiskError when the folder cannot be made or written to
 */
export function openEventFile(folder: string, name?: string, { resumedAt }: EventFileOptions = {}): EventFile {
  const where = name === undefined ? folder : join(folder, name.replace(/^\.|[\\/:*?"<>|\u0000-\u001f]/g, "_") || "_");
  if (resumedAt !== undefined) checkStep(resumedAt);
  let path = where;
  let file: number;
  try {
    mkdirSync(where, { recursive: true });
    // TensorBoard reads files by name: one of the same second, or from before the clock was set back, must not come after this
    const earlier = readdirSync(where).map((found) => (found.startsWith(PREFIX) ? parseInt(found.slice(PREFIX.length), 10) : 0));
    const seconds = Math.max(Math.floor(Date.now() / 1000), ...earlier.filter(Number.isFinite).map((second) => second + 1));
    path = join(where, `${PREFIX}${String(seconds).padStart(10, "0")}.${hostname() || "localhost"}.${process.pid}.${files++}`);
    file = openSync(path, "ax");
  } catch (error) {
    throw diskError(error, path);
  }
  let size = 0;
  let closed = false;
  const append = (bytes: Uint8Array): void => {
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
      size += bytes.length;
    } catch (error) {
      ftruncateSync(file, size); // half a record would hide what comes after it
      throw diskError(error, path);
    }
  };
  const close = (): void => {
    if (closed) return;
    closed = true;
    closeSync(file);
  };
  try {
    append(fileVersion(Date.now() / 1000));
    if (resumedAt !== undefined) append(sessionStart(resumedAt, Date.now() / 1000));
  } catch (error) {
    close();
    throw error;
  }
  return {
    path,
    scalars(step, values, wallTime = Date.now() / 1000) {
      checkStep(step);
      if (closed) throw new OptionError(`${path}: expected an open event file, found that it was closed. Open another: openEventFile(folder).`);
      append(scalarSummary(step, values, wallTime));
    },
    close,
  };
}

function checkStep(step: number): void {
  if (!Number.isSafeInteger(step) || step < 0) throw new OptionError(`step: expected a whole number from 0 on, found ${step}. Give the number of the training step, or of tokens seen.`);
}
