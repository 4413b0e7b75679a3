"""Times Jupyter kernels side by side, by turns. Run by kernel.ts, which also says what each cell holds.

Reads {"kernels": [{"name", "kernel", "cwd", "cells", "skip"}], "starts", "rounds", "lines", "scratch"} from stdin: "kernel" names a kernelspec, "cells"
holds the text for each step below, "skip" the rows that do not exist for a kernel. Prints {name: {"samples": {row: [value]}, "failed": {row: [why]},
"gone"}}; values are milliseconds where the row does not say otherwise, and kernel.ts takes the medians.
"""
import json
import random
import signal
import sys
import time
from collections import defaultdict

import zmq

from kernel_client import QUIET, Client, Failure, memory, ms

TASK = json.load(sys.stdin)
MEMORY_ROUNDS = 3
FAILURES = 4  # then a row is given up, and after 2 if it never succeeded: each costs a wait and a new process
turns = random.Random(0)


def say(text):
    print(f"bench kernel: {text}", file=sys.stderr, flush=True)


class Kernel(Client):
    def __init__(self, name, kernel, cwd, cells, skip):
        super().__init__(name, kernel, cwd, TASK["scratch"])
        self.cells, self.skip = cells, skip
        self.samples, self.failed = defaultdict(list), defaultdict(list)
        self.gone = None  # why it cannot be had any more

    # Lives, and rows: each row returns {row: value}.

    def start(self, row=None):
        """From the launch until kernel_info_reply, and until the first cell's result."""
        begun = time.perf_counter()
        self.launch()
        ready = (self.meet() - begun) * 1e3
        self.run(self.cells["trivial"], "2")
        return {"ready": ready, "first": ms(begun)}

    def prepare(self):
        """A new process with the libraries imported; returns the milliseconds of the importing cell."""
        self.start()
        self.run(self.cells["prepare"])
        return self.run(self.cells["import"], "loaded", quiet=30).all_ms

    def memory(self, row):
        imported = self.prepare()
        time.sleep(2)  # for what goes on in the background after the import
        return {"import": imported, row: memory(self.manager.provisioner.pid)}

    def trivial(self, row):
        return {row: self.run(self.cells["trivial"], "2").all_ms}

    def tensors(self, row):
        return {row: self.run(self.cells["tensors"], "54").all_ms}

    def mistyped(self, row):
        """Whether a cell with a wrong type is refused (1): if not, the other rows are of cells that nobody checks."""
        return {row: int(self.answer(self.execute(self.cells[row]), time.perf_counter()).reply["status"] != "ok")}

    def lines(self, row):
        try:
            answer = self.run(self.cells["lines"], f"line {TASK['lines'] - 1}")
        except Failure as failure:
            failure.seen["linesArrived"] = failure.text.count("\n")
            raise
        return {row: answer.all_ms, "linesArrived": answer.text.count("\n")}

    def completion(self, row):
        code = self.cells["completion"]
        answer = self.ask("complete_request", {"code": code, "cursor_pos": len(code)})
        matches = len(answer.reply.get("matches", []))
        if not matches:
            raise Failure(f"`{code}` has no completions")
        return {row: answer.reply_ms, "matches": matches}

    def busy(self, row):
        """Control channel and heartbeat, asked at the same moment of a loop of 400 ms."""
        cell = self.begin(self.cells["control"])
        begun = time.perf_counter()
        self.send("kernel_info_request", {}, self.control)
        self.heartbeat.send(b"ping")
        poller, seen = zmq.Poller(), {}
        poller.register(self.control, zmq.POLLIN)
        poller.register(self.heartbeat, zmq.POLLIN)
        while len(seen) < 2 and ms(begun) < QUIET * 1e3:
            for socket, _ in poller.poll(250):
                socket.recv_multipart()
                seen["heartbeat" if socket is self.heartbeat else row] = ms(begun)
        if len(seen) < 2:
            raise Failure(f"no answer within {QUIET} s", seen=seen)
        self.answer(cell, begun)
        return seen

    def interrupt(self, row):
        cell = self.begin(self.cells[row])
        time.sleep(0.05)  # well into the loop, or the wait
        begun = time.perf_counter()
        self.manager.interrupt_kernel()  # signal or message, as the kernelspec says
        return {row: self.answer(cell, begun, quiet=QUIET / 3).reply_ms}

    def renew(self, life):
        """A new process instead of one that failed, if `life` says how."""
        self.stop()
        try:
            if life:
                life(self)
        except Failure as failure:
            self.gone = str(failure)
            say(f"{self.name} is given up: {failure}")
            self.stop()


def measure(kernel, row, take, life):
    """One sample. A kernel that fails goes on in a new process, and gets another chance at the row."""
    if kernel.gone or row in kernel.skip or len(kernel.failed[row]) >= (FAILURES if kernel.samples[row] else 2):
        return
    try:
        values = take(kernel, row)
    except Failure as failure:
        kernel.failed[row].append(str(failure))
        values = failure.seen
        say(f"{kernel.name}, {row}: {failure}")
        kernel.renew(life)
    for name, value in values.items():
        kernel.samples[name].append(value)


def rounds(kernels, count, rows, life=None, pause=0.02):
    """Row after row; within a row the kernels take turns, in a new order each time, so that no one always comes after the same other."""
    for _ in range(count):
        for row, take in rows.items():
            for kernel in turns.sample(kernels, len(kernels)):
                measure(kernel, row, take, life)
                time.sleep(pause)
            if take is Kernel.interrupt:
                time.sleep(0.25)  # tslab refuses cells for 200 ms after one that failed


def alone(take):
    """A new process for each sample, gone before the next kernel's turn."""
    def taken(kernel, row):
        try:
            return take(kernel, row)
        finally:
            kernel.stop()
    return taken


FRESH = {"trivial": Kernel.trivial}
LOADED = {
    "trivialAfter": Kernel.trivial, "tensors": Kernel.tensors, "completion": Kernel.completion, "lines": Kernel.lines,
    "control": Kernel.busy, "interruptLoop": Kernel.interrupt, "interruptWait": Kernel.interrupt, "interruptLate": Kernel.interrupt,
}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kernels = [Kernel(**kernel) for kernel in TASK["kernels"]]
    count, starts, starting = TASK["rounds"], TASK["starts"], {"ready": alone(Kernel.start)}
    try:
        rounds(kernels, 1, starting)  # brings the files into memory
        for kernel in kernels:
            kernel.samples.clear()
        say(f"{starts} starts of each")
        rounds(kernels, starts, starting)
        for kernel in kernels:
            kernel.gone = None if kernel.samples["ready"] else kernel.failed["ready"][0]
        say(f"{MEMORY_ROUNDS} imports of each, for the memory")
        rounds(kernels, MEMORY_ROUNDS, {"memoryMB": alone(Kernel.memory)})
        say(f"{count} rounds of cells")
        for life, turn in ((Kernel.start, FRESH), (Kernel.prepare, LOADED)):
            for kernel in kernels:
                if not kernel.gone:
                    kernel.renew(life)
            rounds(kernels, count, turn, life)
        rounds(kernels, 1, {"mistyped": Kernel.mistyped})
    finally:
        for kernel in kernels:
            kernel.stop()
    fields = ("gone", "samples", "failed")
    json.dump({kernel.name: {field: getattr(kernel, field) for field in fields} for kernel in kernels}, sys.stdout)


main()
