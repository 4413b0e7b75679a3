"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.takeLock = takeLock;
exports.isAlive = isAlive;
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
/**
 * Takes the lock, also one whose process has died.
 * @param refusal makes the error from words for who holds it, such as "process 12, since …"
 * @returns gives it back
 * @throws what `refusal` made; errors of the file system
 */
function takeLock(file, refusal) {
    const me = { pid: process.pid, host: (0, node_os_1.hostname)(), started: startOf(process.pid), since: new Date().toISOString() };
    const mine = `${JSON.stringify(me)}\n`;
    for (;;) {
        if (make(file, mine))
            return () => (0, node_fs_1.rmSync)(file, { force: true });
        const found = read(file);
        if (found === undefined)
            continue; // given back in the meantime
        const holder = parse(found);
        if (!holder)
            throw refusal("a process whose name is not in it yet");
        const { pid, host, since } = holder;
        if (host !== me.host || isAlive(pid, holder.started)) {
            throw refusal(`process ${pid}${host === me.host ? "" : ` on ${host}`}, since ${since}`);
        }
        takeAway(file, found);
    }
}
/** Makes a file that was not there. @returns false if it was */
function make(file, text) {
    let descriptor;
    try {
        descriptor = (0, node_fs_1.openSync)(file, "wx");
    }
    catch (error) {
        if (error.code === "EEXIST")
            return false;
        throw error;
    }
    try {
        (0, node_fs_1.writeFileSync)(descriptor, text);
    }
    catch (error) {
        (0, node_fs_1.rmSync)(file, { force: true }); // a lock without a name would hold for ever
        throw error;
    }
    finally {
        (0, node_fs_1.closeSync)(descriptor);
    }
    return true;
}
/**
 * Removes a dead process's lock, and no other: whoever was quicker may have put its own there since it was read, which then
 * goes back.
 */
function takeAway(file, dead) {
    const aside = (0, node_path_1.join)((0, node_path_1.dirname)(file), `.${(0, node_path_1.basename)(file)}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.part`);
    try {
        (0, node_fs_1.renameSync)(file, aside);
    }
    catch (error) {
        if (error.code === "ENOENT")
            return;
        throw error;
    }
    try {
        if (read(aside) !== dead)
            (0, node_fs_1.linkSync)(aside, file);
    }
    finally {
        (0, node_fs_1.rmSync)(aside, { force: true });
    }
}
function read(file) {
    try {
        return (0, node_fs_1.readFileSync)(file, "utf8");
    }
    catch (error) {
        if (error.code === "ENOENT")
            return undefined;
        throw error;
    }
}
function parse(text) {
    try {
        const holder = JSON.parse(text);
        return Number.isSafeInteger(holder.pid) && holder.pid > 0 && typeof holder.host === "string" ? holder : undefined;
    }
    catch {
        return undefined;
    }
}
/** Whether a process of this machine runs, and is the one that started then. */
function isAlive(pid, started = null) {
    try {
        process.kill(pid, 0); // asks, does not kill
    }
    catch (error) {
        if (error.code === "ESRCH")
            return false;
    }
    const found = startOf(pid);
    return found !== "dead" && (started === null || found === null || found === started);
}
/** Start time of a process out of /proc (proc(5): field 22 of stat); "dead" when it has ended and was not waited for; null elsewhere. */
function startOf(pid) {
    try {
        const stat = (0, node_fs_1.readFileSync)(`/proc/${pid}/stat`, "latin1");
        const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from field 3, the state, on
        return "ZX".includes(fields[0]) ? "dead" : fields[19];
    }
    catch {
        return null;
    }
}
//# sourceMappingURL=lock.js.map