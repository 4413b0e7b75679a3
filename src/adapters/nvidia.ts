import path from "node:path";
import { packageRoot } from "./package";

/** NVIDIA's driver and cards, typed: the code is kernel-ext/nvidia.cjs, since set-up needs it before anything is built. */

/** What a command gave. status null: it could not be started, or did not end. */
export interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The machine to ask; this one where left out, other ones in tests. */
export interface NvidiaMachine {
  run?(command: string, args: string[]): Ran;
  /** undefined and []: not there. */
  files?: { read(path: string): string | undefined; list(folder: string): string[] };
  env?: NodeJS.ProcessEnv;
}

export interface NvidiaCard {
  index: number;
  name: string;
  uuid?: string;
  /** bytes; absent where the driver does not tell (unified memory, WSL2, no nvidia-smi). */
  memory?: number;
  free?: number;
  /** "12.0"; absent where nvidia-smi is, or is older than 510. */
  capability?: string;
  processes: { pid: number; name: string; memory?: number }[];
}

export type Nvidia =
  | { there: false; why: string; cure?: string }
  | {
    there: true;
    /** "580.65.06"; under WSL2 that of Windows. */
    driver: string;
    /** The newest CUDA that the driver speaks: "13.0". */
    cuda?: string;
    wsl: boolean;
    /** Where libcuda.so.1 is; null: nowhere, so that nothing can run. */
    library?: string | null;
    cards: NvidiaCard[];
  };

export interface NvidiaJudgement {
  ok: boolean;
  /** Index of each card that can be used. */
  cards: number[];
  why?: string;
  cure?: string;
  note?: string;
}

interface Module {
  readNvidia(machine?: NvidiaMachine): Nvidia;
  judgeNvidia(found: Nvidia): { tensorflow: NvidiaJudgement; onnx: NvidiaJudgement };
}

/**
 * readNvidia: driver and cards, from nvidia-smi (SAELAB_NVIDIA_SMI names another) or the kernel module's files; nothing is loaded, no device opened.
 * judgeNvidia: whether TensorFlow's CUDA build and ONNX Runtime's CUDA provider run on them; where not, why, and what would help.
 */
export const { readNvidia, judgeNvidia } = require(path.join(packageRoot, "kernel-ext", "nvidia.cjs")) as Module;

/** The cards that a library can compute on; all of them where it can on none, so that something can be told of them. */
export function usableCards({ cards }: { cards: NvidiaCard[] }, { cards: able }: { cards: number[] }): NvidiaCard[] {
  return able.length ? cards.filter(({ index }) => able.includes(index)) : cards;
}
