import type { Device, EngineFacts, Missing } from "../core/device";
import type { Facts } from "../core/doctor";
import type { HarvestSpeed, Speeds } from "../core/doctorspeeds";
import { engineFacts } from "./devices";
import { loadOps } from "./ops";
import { tensorflow } from "./tensorflow";
import { findWebGpu, type FoundGpu } from "./webgpu";

/** What is asked of native code, each probe in a process of its own: `node doctorprobe.js NAME OPTIONS`, answered by message. */
export interface Probes {
  engine: { asks: object; gives: { there: true; engine: EngineFacts | Missing; ops: Facts["ops"] } };
  onnx: { asks: object; gives: { there: true; providers: string[] } };
  webgpu: { asks: object; gives: { there: true; found: FoundGpu } };
  training: { asks: { device: Device; seconds: number }; gives: { there: true } & Pick<Speeds, "matmul" | "training"> };
  harvest: { asks: { device: Device; seconds: number }; gives: { there: true } & HarvestSpeed };
}

type Work = { [K in keyof Probes]: (options: Probes[K]["asks"]) => Promise<Probes[K]["gives"]> };

const work: Work = {
  async engine() {
    const engine = engineFacts();
    if (!engine.there || (engine.device !== "cpu" && engine.device !== "cuda")) return { there: true, engine, ops: { there: false, why: "TensorFlow is not there" } };
    const ops = loadOps(tensorflow());
    // the remedy stands beside it
    return { there: true, engine, ops: "id" in ops ? { there: true, id: ops.id, halves: [...ops.halves] } : { there: false, why: ops.why.split(": run `")[0] } };
  },
  async onnx() {
    const { listSupportedBackends } = require("onnxruntime-node") as typeof import("onnxruntime-node");
    return { there: true, providers: listSupportedBackends().filter(({ bundled }) => bundled).map(({ name }) => name) };
  },
  async webgpu() {
    return { there: true, found: await findWebGpu() };
  },
  async training(options) {
    const { measureTraining } = require("./speed") as typeof import("./speed");
    return { there: true, ...(await measureTraining(options)) };
  },
  async harvest(options) {
    const { measureHarvest } = require("./speed") as typeof import("./speed");
    return measureHarvest(options);
  },
};

async function answer(name: keyof Probes, options: never): Promise<void> {
  let given: unknown;
  try {
    given = await work[name](options);
  } catch (error) {
    given = { there: false, why: String((error as Error).message ?? error).split("\n")[0] } satisfies Missing;
  }
  process.send!(given, () => process.exit(0)); // whatever native code still runs
}

if (require.main === module) void answer(process.argv[2] as keyof Probes, JSON.parse(process.argv[3]) as never);
