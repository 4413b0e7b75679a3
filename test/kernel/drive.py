"""Drives a kernel through jupyter_client, as front ends do.

Reads one JSON object from stdin, {"kernel", "cwd", "steps"}, and prints {"info", "steps"}: for each step its reply and the iopub
messages that belong to it, in order. A step is one of
  {"code", "interruptOn"?, "message"?, "silent"?}  run a cell; interrupt it once its output holds the text (by a message on the
                                                   control channel instead of the kernelspec's way if "message")
  {"burst": [code, …]}                             send all cells at once; replies and outputs of each
  {"request", "content"}                           any other request on the shell channel
  {"restart": true}                                restart the kernel
Ends with a shutdown and says whether the process went by itself.
"""
import json
import queue
import sys
import time

import zmq
from jupyter_client import KernelManager

TIMEOUT = 90  # seconds for any one reply: far above what a step takes


def request(client, channel, kind, content):
    message = client.session.msg(kind, content)
    getattr(client, channel + "_channel").send(message)
    return message["header"]["msg_id"]


def execute(client, code, silent=False):
    content = {"code": code, "silent": silent, "store_history": not silent, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
    return request(client, "shell", "execute_request", content)


def heartbeat(manager):
    """Whether the heartbeat socket echoes."""
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.linger = 0
    socket.connect(f"tcp://{manager.ip}:{manager.hb_port}")
    socket.send(b"ping")
    echoed = socket.poll(10_000) > 0 and socket.recv() == b"ping"
    socket.close()
    return echoed


KNOWN = {}  # message id → outputs of that step, also those that come while a later step runs


def collect(manager, client, ids, interrupt_on=None, by_message=False):
    """Waits until every id has its reply and its idle status."""
    replies, outputs, idle, control = {}, {i: [] for i in ids}, set(), None
    KNOWN.update(outputs)
    seen, wanted = "", interrupt_on
    deadline = time.monotonic() + TIMEOUT
    while len(idle) < len(ids):
        message = client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
        parent = message["parent_header"].get("msg_id")
        if parent not in KNOWN:
            continue
        if message["msg_type"] == "status":
            if message["content"]["execution_state"] == "idle" and parent in outputs:
                idle.add(parent)
            continue
        KNOWN[parent].append({"type": message["msg_type"], "content": message["content"]})
        if wanted and message["msg_type"] == "stream":
            seen += message["content"]["text"]
            if wanted in seen:
                wanted = None
                if by_message:
                    control_id = request(client, "control", "interrupt_request", {})
                    while control is None:
                        reply = client.get_control_msg(timeout=TIMEOUT)
                        if reply["parent_header"]["msg_id"] == control_id:
                            control = {"type": reply["msg_type"], "content": reply["content"]}
                else:
                    manager.interrupt_kernel()
    while len(replies) < len(ids):
        reply = client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
        if reply["parent_header"]["msg_id"] in outputs:
            replies[reply["parent_header"]["msg_id"]] = {"type": reply["msg_type"], "content": reply["content"]}
    steps = [{"reply": replies[i], "outputs": outputs[i]} for i in ids]
    if control is not None:
        steps[0]["control"] = control
    return steps


def connect(manager):
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=TIMEOUT)
    return client


def main():
    task = json.load(sys.stdin)
    manager = KernelManager(kernel_name=task["kernel"])
    manager.start_kernel(cwd=task["cwd"])
    results = []
    doing = "start"
    try:
        client = connect(manager)
        info = collect(manager, client, [request(client, "shell", "kernel_info_request", {})])[0]["reply"]
        for number, step in enumerate(task["steps"]):
            doing = f"step {number + 1}: {json.dumps(step)}"  # for the message when an answer does not come
            if "burst" in step:
                results.append(collect(manager, client, [execute(client, code) for code in step["burst"]]))
            elif "request" in step:
                results.append(collect(manager, client, [request(client, "shell", step["request"], step["content"])])[0])
            elif "restart" in step:
                client.stop_channels()
                manager.restart_kernel()
                client = connect(manager)
                results.append(None)
            else:
                sent = execute(client, step["code"], step.get("silent", False))
                results.append(collect(manager, client, [sent], step.get("interruptOn"), step.get("message", False))[0])
        beating = heartbeat(manager)
        client.shutdown()
        deadline = time.monotonic() + 20
        while manager.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        ended = not manager.is_alive()
        client.stop_channels()
    except queue.Empty:
        sys.exit(f"no answer within {TIMEOUT} s at {doing}")
    finally:
        if manager.is_alive():
            manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    json.dump({"info": info, "steps": results, "ended": ended, "beating": beating}, sys.stdout)


main()
