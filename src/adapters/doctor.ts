import { homedir } from "node:os";
import { foundDevices, type Device, type Missing } from "../core/device";
import { diagnose, type DoctorReport, type Facts, type JobReport } from "../core/doctor";
import { doctorHtml } from "../core/doctorhtml";
import { planFor, type DoctorPlan, type PlanRequest } from "../core/doctorplan";
import type { Speeds } from "../core/doctorspeeds";
import { doctorText } from "../core/doctortext";
import { OptionError } from "../core/errors";
import type { Free } from "../core/memoryplan";
import { withoutHome } from "../core/shell";
import { momentsFor } from "./choice";
import { gatherFacts } from "./doctorfacts";
import { thisMachine, type Machine } from "./doctormachine";
import { freeOn } from "./memory";
import { readNvidia } from "./nvidia";
import { colored, showing, type ShownNow } from "./show";

export interface DoctorOptions {
  quick?: boolean; // false: speeds are measured too, some 15 seconds
  plan?: PlanRequest; // none: what a training of these sizes would take here
  /** Is told what is done next. */
  progress?: (doing: string) => void;
}

/** The report: shows itself in a cell and in a terminal; `json` is what `saelab doctor --json` prints. */
export type Doctor = ShownNow & { json: DoctorReport; ok: boolean };

/**
 * Looks at this machine: what works, what does not, why, and what would cure it; which devices train and harvest, and why no better
 * ones; how fast they are; what a planned training would take. Changes nothing but for temporary files and what a training remembers
 * of its timings; native code is tried in child processes, so that a binding or a driver that crashes is a line of the report.
 * @returns shows itself as `application/vnd.saelab.doctor.v1+json` (the report), HTML and text
 * @throws OptionError where the plan lacks a number or has one out of range
 */
export async function doctor(options: DoctorOptions = {}): Promise<Doctor> {
  return shownReport(await examine(thisMachine(), options));
}

/** What is shown goes into notebooks and pages that others read: the home folder, with the user's name, is ~ there. */
function shownReport(report: DoctorReport): Doctor {
  const shown = textsOf(report, (text) => withoutHome(text, homedir()));
  return showing({ json: report, ok: report.ok }, () => ({
    "application/vnd.saelab.doctor.v1+json": { version: 1, report: shown },
    "text/html": doctorHtml(shown),
    "text/plain": doctorText(shown, colored()),
  }));
}

/** The same value with all of its texts changed. */
function textsOf<T>(value: T, change: (text: string) => string): T {
  if (typeof value === "string") return change(value) as T;
  if (Array.isArray(value)) return value.map((one) => textsOf(one as unknown, change)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, textsOf(one as unknown, change)])) as T;
}

/** The same for any machine: tests describe others. */
export async function examine(machine: Machine, { quick = false, plan, progress = () => undefined }: DoctorOptions = {}): Promise<DoctorReport> {
  if (plan !== undefined && (typeof plan !== "object" || plan === null)) throw new OptionError(`doctor: plan: expected { latents, d, tokens }, found ${JSON.stringify(plan)}.`);
  if (plan) planFor(plan, { device: "cpu", step: "stock", free: { host: Infinity, card: Infinity } }); // a mistake in it is told before work begins
  progress("looking at what is installed");
  const facts = await gatherFacts(machine);
  const { jobs } = diagnose(facts);
  if (plan) planDevice(plan, facts, jobs.training);
  const speeds = quick ? undefined : await measure(machine, jobs, progress);
  return diagnose(facts, speeds, plan && planHere(plan, machine, facts, jobs.training, speeds));
}

const SECONDS = { training: 5, harvest: 3 };

/** One after the other, so that neither takes the other's threads. */
async function measure(machine: Machine, { training, harvest }: Record<"training" | "harvest", JobReport>, progress: (doing: string) => void): Promise<Speeds> {
  const absent = (job: JobReport): Missing => ({ there: false, why: job.runs ? "not known where" : "it cannot run here" });
  progress("measuring: product and training");
  const trained = training.runs && training.on ? await machine.probe("training", { device: training.on.device, seconds: SECONDS.training }) : absent(training);
  progress("measuring: harvest");
  const harvested = harvest.runs && harvest.on ? await machine.probe("harvest", { device: harvest.on.device, seconds: SECONDS.harvest }) : absent(harvest);
  return { ...(trained.there ? { matmul: trained.matmul, training: trained.training } : { matmul: trained, training: trained }), harvest: harvested };
}

/** @throws OptionError for a device that is not there */
function planDevice({ device }: PlanRequest, facts: Facts, training: JobReport): Device {
  const on = training.runs && training.on ? training.on.device : "cpu";
  const found = device && foundDevices("training", facts)[device];
  if (found && !found.there) throw new OptionError(`plan: device: expected one that is here, found ${device}: ${found.why}.`);
  return device ?? on;
}

function planHere(plan: PlanRequest, machine: Machine, facts: Facts, training: JobReport, speeds?: Speeds): DoctorPlan {
  return planFor(plan, {
    device: training.runs && training.on ? training.on.device : "cpu", step: (training.runs && training.step) || "auto", moments: momentsFor,
    free: { ...freeFor(planDevice(plan, facts, training), machine, facts), ...(facts.disk ? { disk: facts.disk.free } : {}) },
    ...(speeds?.training.there ? { training: speeds.training } : {}), ...(speeds?.harvest.there ? { harvest: speeds.harvest } : {}),
  });
}

function freeFor(device: Device, machine: Machine, { webgpu, memory }: Facts): Free {
  const { files: { read, list }, platform, env } = machine;
  const { host, card, shared } = freeOn(device, webgpu.there ? webgpu : undefined, { nvidia: () => readNvidia(machine), read, list, platform, env, pid: process.pid }, memory.free);
  return { host, card, ...(shared ? { shared } : {}) };
}
