import { spawn } from "node:child_process";
import { join } from "node:path";
import { gpuEnvironment } from "../swiftshader";

/**
 * Runs tasks of modeldevice-child on a graphics card, or on SwiftShader where there is none; in a child, for the Vulkan loader reads its environment when a
 * process begins.
 * @returns its lines, one a task; rejects with what it said when a task fails
 */
export async function onCard(tasks: string[]): Promise<string[]> {
  const env = await gpuEnvironment();
  return new Promise((resolve, reject) => {
    const run = spawn(process.execPath, [join(__dirname, "modeldevice-child.js"), ...tasks], { env, stdio: ["ignore", "pipe", "pipe"] });
    let [out, said] = ["", ""];
    run.stdout.on("data", (data: Buffer) => (out += data));
    run.stderr.on("data", (data: Buffer) => (said += data));
    run.on("error", reject);
    run.on("close", (code) => (code === 0 ? resolve(out.trim().split("\n")) : reject(new Error(`child: code ${code}\n${out}\n${said}`))));
  });
}
