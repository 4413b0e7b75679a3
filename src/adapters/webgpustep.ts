import type { StepState } from "../core/trained";
import type { TrainKind } from "../core/types";
import type { Step } from "./step";
import type { Gpu } from "./webgpu";
export const WEBGPU_KINDS: TrainKind[] = ["topk"];
export async function webgpuStep(_gpu: Gpu, _initial: StepState, _options?: { rows?: number; stride?: number }): Promise<Step> { throw new Error("placeholder"); }
