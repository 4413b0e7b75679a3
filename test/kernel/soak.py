"""Runs many cells of all kinds in one kernel, and counts what comes back.

Reads {"kernel", "cwd", "cells"} from stdin. Prints {"cells", "kinds", "wrong", "memory"}: the first cells whose answer was not the one
expected, and the resident memory (MB, proportional share, of the kernel and the processes it started) after each twentieth of the run.
"""
import json
import os
import queue
import random
import signal
import sys
import time
from pathlib import Path

from jupyter_client import KernelManager

TIMEOUT = 60


def cells(count):
    """Cells and what they must give: (kind, code, interrupt it (once it has printed "go", or so many seconds after its start), expected text, expected error)."""
    pick = random.Random(0)
    total = 0
    for n in range(count):
        kind = pick.choices(
            ["value", "declare", "redeclare", "print", "display", "error", "type error", "syntax error", "timer", "interrupt loop", "interrupt await", "interrupt early"],
            [20, 20, 20, 10, 8, 8, 4, 3, 3, 2, 2, 2])[0]
        if n == 0:
            yield "declare", "let total = 0; const steady = () => total; function loop() { for (;;) {} }", False, None, None
            continue
        if kind == "value":
            yield kind, f"steady() * 0 + {n}", False, str(n), None
        elif kind == "declare":
            total += 1
            yield kind, f"const v{n % 40} = {{ n: {n}, text: 'x'.repeat(100) }}; interface I{n % 40} {{ n: number }}\ntotal += 1; v{n % 40}.n", False, str(n), None
        elif kind == "redeclare":
            yield kind, f"class K {{ n = {n} }}\nfunction make(): K {{ return new K() }}\nenum E {{ A = {n} }}\nmake().n + E.A - {n}", False, str(n), None
        elif kind == "print":
            yield kind, f"for (let i = 0; i < 20; i++) console.log('line', i, {n});\nconsole.error('e');\n{n}", False, str(n), None
        elif kind == "display":
            yield kind, f"await display({{ 'text/html': '<b>{n}</b>' }}, {{ display_id: 'd' }});\nawait Promise.resolve({n})", False, str(n), None
        elif kind == "error":
            yield kind, f"let partial{n % 10} = {n};\nthrow new RangeError('{n}')", False, None, "RangeError"
        elif kind == "type error":
            yield kind, f"const wrong: string = {n};", False, None, "TypeScriptError"
        elif kind == "syntax error":
            yield kind, f"const = {n};", False, None, "SyntaxError"
        elif kind == "timer":
            yield kind, f"setTimeout(() => console.log('later {n}'), 1); {n}", False, str(n), None
        elif kind == "interrupt loop":
            yield kind, "console.log('go'); loop()", True, None, "KeyboardInterrupt"
        elif kind == "interrupt early":
            # While it is checked, runs, or goes over into its await: no moment may lose an interrupt.
            yield kind, f"const until = Date.now() + {n % 6}; while (Date.now() < until); await new Promise(() => {{}})", pick.choice([0, 0.001, 0.003, 0.008]), None, "KeyboardInterrupt"
        else:
            yield kind, "console.log('go'); await new Promise(() => {})", True, None, "KeyboardInterrupt"
    yield "end", "total", False, str(total), None


def memory(pid):
    """MB of a process and those it started."""
    total, waiting = 0, [pid]
    while waiting:
        each = waiting.pop()
        try:
            total += int(next(line for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")).split()[1])
            waiting += [int(child) for task in Path(f"/proc/{each}/task").iterdir() for child in (task / "children").read_text().split()]
        except (OSError, StopIteration):
            pass  # it has ended
    return total / 1000


def run(manager, client, code, interrupt):
    sent = client.execute(code, stop_on_error=False)
    text, error, printed = None, None, ""
    deadline = time.monotonic() + TIMEOUT
    while True:
        message = client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
        if message["parent_header"].get("msg_id") != sent:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle":
            break
        if kind == "execute_input" and not isinstance(interrupt, bool):
            time.sleep(interrupt)
            if int(interrupt * 1000) % 2:
                manager.interrupt_kernel()
            else:
                os.kill(manager.provisioner.pid, signal.SIGINT)
            interrupt = False
        elif kind == "execute_result":
            text = content["data"]["text/plain"]
        elif kind == "error":
            error = content["ename"]
        elif kind == "stream":
            printed += content["text"]
            if interrupt and "go" in printed:
                interrupt = False
                manager.interrupt_kernel()
    while client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))["parent_header"]["msg_id"] != sent:
        pass
    return text, error, printed


def main():
    task = json.load(sys.stdin)
    manager = KernelManager(kernel_name=task["kernel"])
    manager.start_kernel(cwd=task["cwd"])
    client = manager.client()
    client.start_channels()
    kinds, wrong, levels, n = {}, [], [], 0
    every = max(1, task["cells"] // 20)
    try:
        client.wait_for_ready(timeout=TIMEOUT)
        for n, (kind, code, interrupt, want, failure) in enumerate(cells(task["cells"])):
            kinds[kind] = kinds.get(kind, 0) + 1
            text, error, printed = run(manager, client, code, interrupt)
            lines = "".join(f"line {i} {n}\n" for i in range(20))
            if (text, error) != (want, failure) or (kind == "print" and (lines not in printed or "e\n" not in printed)):
                wrong.append({"cell": n, "code": code, "found": [text, error, printed[:200]]})
            if n % every == every - 1:
                levels.append(round(memory(manager.provisioner.pid), 1))
            if len(wrong) > 20:
                break
    except (queue.Empty, RuntimeError) as problem:
        wrong.append({"cell": n, "found": f"no answer within {TIMEOUT} s: {problem!r}"})
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    json.dump({"cells": sum(kinds.values()), "kinds": kinds, "wrong": wrong, "memory": levels}, sys.stdout)


main()
