import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Device, EngineFacts, Missing } from "../core/device";
import type { Facts } from "../core/doctor";
import type { HarvestSpeed, Speeds } from "../core/doctorspeeds";
import { ELEMENT, writeOnnx } from "../core/onnx";
import { engineFacts } from "./devices";
import { loadOnnxCuda, PROVIDER, providerFolder } from "./onnxcuda";
import { loadOps } from "./ops";
import { tensorflow } from "./tensorflow";
import { findWebGpu, type FoundGpu } from "./webgpu";

/** What is asked of native code, each probe in a process of its own: `node doctorprobe.js NAME OPTIONS`, answered by message. */
export interface Probes {
  engine: { asks: object; gives: { there: true; engine: EngineFacts | Missing; ops: Facts["ops"] } };
  onnx: { asks: object; gives: { there: true; providers: string[]; cuda?: { there: true } | Missing } };
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
    await onProvider("cpu");
    const providers = listSupportedBackends().filter(({ bundled }) => bundled).map(({ name }) => name);
    if (!existsSync(join(providerFolder(), PROVIDER))) return { there: true, providers };
    const missing = loadOnnxCuda();
    const cuda = missing ? Promise.reject(new Error(missing)) : onProvider("cuda");
    return { there: true, providers, cuda: await cuda.then(() => ({ there: true as const }), (error: Error): Missing => ({ there: false, why: error.message.split("\n")[0], cure: "npx saelab setup --cuda" })) };
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

/** A product of two numbers, by one of ONNX Runtime's providers. @throws what it says when it cannot */
async function onProvider(name: "cpu" | "cuda"): Promise<void> {
  const { InferenceSession, Tensor } = require("onnxruntime-node") as typeof import("onnxruntime-node");
  const value = (tensor: string) => ({ name: tensor, type: ELEMENT.FLOAT, dims: [1, 1] });
  const model = writeOnnx({
    irVersion: 8, opsets: { "": 17 }, name: "product", nodes: [{ op: "MatMul", inputs: ["a", "b"], outputs: ["y"] }], initializers: [], inputs: [value("a"), value("b")], outputs: [value("y")],
  });
  const session = await InferenceSession.create(model, { executionProviders: [name], logSeverityLevel: 4 });
  const number = (x: number) => new Tensor("float32", Float32Array.of(x), [1, 1]);
  const { y } = await session.run({ a: number(6), b: number(7) });
  const found = (y.data as Float32Array)[0];
  if (found !== 42) throw new Error(`ONNX Runtime (${name}): expected 6 × 7 = 42, found ${found}`);
}

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
