"""Drives a kernel through jupyter_client, as front ends do.

Reads one JSON object from stdin, {"kernel", "cwd", "steps"}, and prints {"info", "steps"}: for each step its reply and the iopub
messages that belong to it, in order. A step is one of
  {"code", "silent"?, "expressions"?, "answer"?}   run a cell; "answer" is typed when it asks for input
      "interruptOn"?, "how"?                       interrupt it once its output holds the text: the kernelspec's way, or "how":
                                                   "message" (and keep its reply) or "signal" (SIGINT to the process alone)
      "askOn"?                                     once its output holds the text, ask kernel_info on the control channel and the
                                                   heartbeat, and say whether both answered before the cell ended
  {"burst": [code, …]}                             send all cells at once; replies and outputs of each
  {"request", "content"}                           any other request on the shell channel
  {"send", "content", "reply"?}                    a message that is not answered; waits for its idle
  {"hostile": true}                                frames that are no message of ours, on shell and control; replays one that was
  {"restart": true}                                restart the kernel
Ends with a shutdown and says whether the process went by itself.
"""
import json
import os
import queue
import signal
import sys
import time

import zmq
from jupyter_client import KernelManager

TIMEOUT = 90  # seconds for any one reply: far above what a step takes


def request(client, channel, kind, content):
    message = client.session.msg(kind, content)
    getattr(client, channel + "_channel").send(message)
    return message["header"]["msg_id"]


def execute(client, code, silent=False, expressions=None, stdin=False):
    content = {"code": code, "silent": silent, "store_history": not silent, "user_expressions": expressions or {}, "allow_stdin": stdin, "stop_on_error": True}
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


def control_answer(client, kind):
    """Sends a request on the control channel and waits for its reply."""
    sent = request(client, "control", kind, {})
    while True:
        reply = client.get_control_msg(timeout=TIMEOUT)
        if reply["parent_header"]["msg_id"] == sent:
            return {"type": reply["msg_type"], "content": reply["content"]}


def collect(manager, client, ids, step={}):
    """Waits until every id has its reply and its idle status; on the way does what the step asks for."""
    replies, outputs, idle, control, asked = {}, {i: [] for i in ids}, set(), None, None
    KNOWN.update(outputs)
    seen, interrupt_on, ask_on = "", step.get("interruptOn"), step.get("askOn")
    deadline = time.monotonic() + TIMEOUT
    while len(idle) < len(ids):
        if "answer" in step and client.stdin_channel.msg_ready():
            question = client.get_stdin_msg(timeout=TIMEOUT)
            asked = question["content"]
            client.input(step["answer"])
        try:
            message = client.get_iopub_msg(timeout=0.05 if "answer" in step else max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            if time.monotonic() > deadline:
                raise
            continue
        parent = message["parent_header"].get("msg_id")
        if parent not in KNOWN:
            continue
        if message["msg_type"] == "status":
            if message["content"]["execution_state"] == "idle" and parent in outputs:
                idle.add(parent)
            continue
        KNOWN[parent].append({"type": message["msg_type"], "content": message["content"]})
        if message["msg_type"] == "stream" and (interrupt_on or ask_on):
            seen += message["content"]["text"]
            if ask_on and ask_on in seen:
                ask_on = None
                answered = control_answer(client, "kernel_info_request")["content"]["status"] == "ok" and heartbeat(manager)
                asked = answered and not client.shell_channel.msg_ready()
            if interrupt_on and interrupt_on in seen:
                interrupt_on = None
                if step.get("how") == "message":
                    control = control_answer(client, "interrupt_request")
                elif step.get("how") == "signal":
                    os.kill(manager.provisioner.pid, signal.SIGINT)
                else:
                    manager.interrupt_kernel()
    while len(replies) < len(ids):
        reply = client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
        if reply["parent_header"]["msg_id"] in outputs:
            replies[reply["parent_header"]["msg_id"]] = {"type": reply["msg_type"], "content": reply["content"]}
    steps = [{"reply": replies[i], "outputs": outputs[i]} for i in ids]
    for name, value in (("control", control), ("asked", asked)):
        if value is not None:
            steps[0][name] = value
    return steps


def hostile(manager, client):
    """What an attacker without the key, or a broken client, would send."""
    message = client.session.msg("execute_request", {"code": "globalThis.evil = 1", "silent": False})
    good = client.session.serialize(message)
    delimiter = good.index(b"<IDS|MSG>")
    wrong = good[: delimiter + 1] + [b"0" * 64] + good[delimiter + 2:]
    frames = [[b"noise"], [b""], [b"<IDS|MSG>"], wrong, good[:delimiter] + good[delimiter + 1:], good[:-1], [b"x" * 5_000_000], [b"<IDS|MSG>"] * 8]
    for port in (manager.shell_port, manager.control_port):
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 1000
        socket.connect(f"tcp://{manager.ip}:{port}")
        for each in frames:
            socket.send_multipart(each)
        time.sleep(0.2)
        socket.close()
    # The same signed message twice: run once.
    counted = client.session.msg("execute_request", {"code": "(globalThis as any).replayed = ((globalThis as any).replayed ?? 0) + 1", "silent": False, "allow_stdin": False})
    twice = client.session.serialize(counted)
    for _ in range(2):
        client.shell_channel.socket.send_multipart(twice)
    collect(manager, client, [counted["header"]["msg_id"]])


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
            elif "send" in step:
                sent = request(client, "shell", step["send"], step["content"])
                outputs, deadline = [], time.monotonic() + TIMEOUT
                KNOWN[sent] = outputs
                while True:
                    message = client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
                    if message["parent_header"].get("msg_id") != sent:
                        continue
                    if message["content"].get("execution_state") == "idle":
                        break
                    if message["msg_type"] != "status":
                        outputs.append({"type": message["msg_type"], "content": message["content"]})
                results.append({"outputs": outputs, "reply": None})
            elif "hostile" in step:
                hostile(manager, client)
                results.append(None)
            elif "restart" in step:
                client.stop_channels()
                manager.restart_kernel()
                client = connect(manager)
                results.append(None)
            else:
                sent = execute(client, step["code"], step.get("silent", False), step.get("expressions"), "answer" in step)
                results.append(collect(manager, client, [sent], step)[0])
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
