import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { NvidiaMachine, Ran } from "../src/adapters/nvidia";

/** NVIDIA's driver as nvidia-smi shows it, for machines that have none: as functions for readNvidia, or as a program for SAELAB_NVIDIA_SMI. */

export interface Stub {
  driver: string;
  /** "13.0"; absent: nvidia-smi does not say. */
  cuda?: string;
  /** MiB, as the command gives them; a text is given as it is. */
  cards: { name: string; capability?: string; memory?: number | string; free?: number | string }[];
  processes?: { card: number; pid: number; name: string; memory?: number | string }[];
  /** Drivers before 510 do not know the field compute_cap. */
  old?: boolean;
}

const uuid = (index: number): string => `GPU-${index}0000000-aaaa-bbbb-cccc-dddddddddddd`;

function answers({ driver, cuda, cards, processes = [], old = false }: Stub): { gpu: string; compute: string; apps: string; plain: string } {
  const rows = cards.map(({ name, capability = "8.9", memory = 24_564, free = 23_028 }, i) => ({ head: `${i}, ${uuid(i)}, ${memory}, ${free}, ${driver}`, capability, name }));
  return {
    gpu: rows.map(({ head, name }) => `${head}, ${name}`).join("\n"),
    compute: old ? "" : rows.map(({ head, capability, name }) => `${head}, ${capability}, ${name}`).join("\n"),
    apps: processes.map(({ card, pid, name, memory = 1024 }) => `${uuid(card)}, ${pid}, ${memory}, ${name}`).join("\n"),
    plain: `| NVIDIA-SMI ${driver}   Driver Version: ${driver}   ${cuda ? `CUDA Version: ${cuda}` : ""} |`,
  };
}

/** A machine with that driver. `files`: paths that are there besides, and what they hold. */
export function machineWith(stub: Stub | undefined, files: Record<string, string> = { "/usr/lib/x86_64-linux-gnu/libcuda.so.1": "" }, smi = "nvidia-smi"): NvidiaMachine {
  const ran = (stdout: string, status = 0): Ran => ({ status, stdout, stderr: "" });
  return {
    env: {},
    files: {
      read: (file) => files[file],
      list: (folder) => [...new Set(Object.keys(files).filter((file) => file.startsWith(`${folder}/`)).map((file) => file.slice(folder.length + 1).split("/")[0]))],
    },
    run(command, args) {
      if (!stub || command !== smi) return { status: null, stdout: "", stderr: "" };
      const { gpu, compute, apps, plain } = answers(stub);
      if (args[0]?.startsWith("--query-compute-apps")) return ran(apps);
      if (!args[0]) return ran(plain);
      if (!args[0].includes("compute_cap")) return ran(gpu);
      return compute ? ran(compute) : ran('Field "compute_cap" is not a valid field to query.', 2);
    },
  };
}

/** The same as programs and files in `folder`: what to add to a process's environment so that it finds them. */
export function environmentWith(stub: Stub, folder: string): { SAELAB_NVIDIA_SMI: string; LD_LIBRARY_PATH: string } {
  const library = path.join(folder, "driver");
  const smi = path.join(folder, "nvidia-smi");
  const { gpu, compute, apps, plain } = answers(stub);
  const say = (text: string): string => `cat <<'END'\n${text}\nEND\n`;
  mkdirSync(library, { recursive: true });
  writeFileSync(path.join(library, "libcuda.so.1"), "");
  writeFileSync(smi, `#!/bin/sh
case "$*" in
*--query-compute-apps=*) ${say(apps)};;
*--query-gpu=*compute_cap*) ${compute ? say(compute) : `echo 'Field "compute_cap" is not a valid field to query.'; exit 2`}
;;
*--query-gpu=*) ${say(gpu)};;
*) ${say(plain)};;
esac
`);
  chmodSync(smi, 0o755);
  return { SAELAB_NVIDIA_SMI: smi, LD_LIBRARY_PATH: library };
}
