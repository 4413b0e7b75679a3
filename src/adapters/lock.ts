import { closeSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

/** One process at a time: a file that names who is at work, and is made in one step or not at all. */

interface Holder {
  pid: number;
  host: string;
  /** When the process started, in the kernel's ticks: a number that comes again is another process. null where unknown. */
  started: string | null;
  since: string;
}

/**
 * Takes the lock, also one whose process has died.
 * @param refusal makes the error from words for who holds it, such as "process 12, since …"
 * @returns gives it back
 * @throws what `refusal` made; errors of the file system
 */
export function takeLock(file: string, refusal: (holder: string) => Error): () => void {
  const me: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid), since: new Date().toISOString() };
  const mine = `${JSON.stringify(me)}\n`;
  for (;;) {
    if (make(file, mine)) return () => rmSync(file, { force: true });
    const found = read(file);
    if (found === undefined) continue; // given back in the meantime
    const holder = parse(found);
    if (!holder) throw refusal("a process whose name is not in it yet");
    const { pid, host, since } = holder;
    if (host !== me.host || isAlive(pid, holder.started)) {
      throw refusal(`process ${pid}${host === me.host ? "" : ` on ${host}`}, since ${since}`);
    }
    takeAway(file, found);
  }
}

/** Makes a file that was not there. @returns false if it was */
function make(file: string, text: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(file, "wx");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  try {
    writeFileSync(descriptor, text);
  } catch (error) {
    rmSync(file, { force: true }); // a lock without a name would hold for ever
    throw error;
  } finally {
    closeSync(descriptor);
  }
  return true;
}

/**
 * Removes a dead process's lock, and no other: whoever was quicker may have put its own there since it was read, which then
 * goes back.
 */
function takeAway(file: string, dead: string): void {
  const aside = join(dirname(file), `.${basename(file)}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.part`);
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    if (read(aside) !== dead) linkSync(aside, file);
  } finally {
    rmSync(aside, { force: true });
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function parse(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Holder;
    return Number.isSafeInteger(holder.pid) && holder.pid > 0 && typeof holder.host === "string" ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process of this machine runs, and is the one that started then. */
export function isAlive(pid: number, started: string | null = null): boolean {
  try {
    process.kill(pid, 0); // asks, does not kill
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const found = startOf(pid);
  return found !== "dead" && (started === null || found === null || found === started);
}

/** Start time of a process out of /proc (proc(5): field 22 of stat); "dead" when it has ended and was not waited for; null elsewhere. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from field 3, the state, on
    return "ZX".includes(fields[0]) ? "dead" : fields[19];
  } catch {
    return null;
  }
}
