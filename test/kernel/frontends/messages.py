"""Sends Jupyter messages to a kernel just as they are given and tells all that comes back: messages.py KERNEL, with a JSON list of turns on stdin.

A turn is a list of messages that are sent at once, or "restart": shutdown_request with restart, and a new process. A message is
  {"type", "content", "channel"?: "shell" or "control", "metadata"?, "noReply"?: true,
   "when"?: {"printed", "send": [message, ...]},   sent once this message's output holds the text
   "answers"?: [text, ...]}                        for its input_requests, one after the other
Prints a list of turns; each a list with, for every message, {"reply", "outputs", "when": [...], "prompts": [...], "state": [...]}. After a
turn that is not answered in time (its replies are null) the kernel is killed, and a new one gets the rest.
"""
import json
import sys
import time

import zmq
from jupyter_client import KernelManager

from told import tell

TIMEOUT = 30  # seconds for a whole turn: far above what one takes


class NoAnswer(Exception):
    pass


class Kernel:
    def __init__(self, name):
        self.name = name
        self.begin()

    def begin(self):
        self.manager = KernelManager(kernel_name=self.name)
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)
        self.channels = {name: getattr(self.client, f"{name}_channel").socket for name in ("shell", "control", "iopub", "stdin")}
        self.poller = zmq.Poller()
        for socket in self.channels.values():
            self.poller.register(socket, zmq.POLLIN)
        self.records = {}

    def send(self, step):
        channel, content = step.get("channel", "shell"), step["content"]
        message = self.client.session.msg(step["type"], content, metadata=step.get("metadata", {}))
        record = {"step": step, "reply": None, "outputs": [], "state": [], "prompts": [], "when": [], "printed": "", "version": None}
        self.records[message["header"]["msg_id"]] = record
        self.client.session.send(self.channels[channel], message)
        return record

    def done(self, record):
        sent = record["step"]
        finished = sent.get("noReply") or (record["reply"] is not None and "idle" in record["state"])
        return finished and ("when" not in sent or record["when"]) and all(self.done(further) for further in record["when"])

    def receive(self, channel, message):
        record = self.records.get(message["parent_header"].get("msg_id"))
        if record is None:
            return
        sent, kind, content = record["step"], message["msg_type"], message["content"]
        if channel in ("shell", "control"):
            record["reply"] = {"type": kind, "channel": channel, "content": content, "version": message["header"]["version"]}
        elif kind == "status":
            record["state"].append(content["execution_state"])
        elif kind == "input_request":
            record["prompts"].append(content)
            reply = self.client.session.msg("input_reply", {"status": "ok", "value": sent["answers"][len(record["prompts"]) - 1]}, parent=message["header"])
            self.client.session.send(self.channels["stdin"], reply)
        else:
            record["outputs"].append({"type": kind, "content": content})
            record["printed"] += content.get("text", "") if kind == "stream" else ""
            if "when" in sent and not record["when"] and sent["when"]["printed"] in record["printed"]:
                record["when"] = [self.send(further) for further in sent["when"]["send"]]

    def wait(self, records):
        deadline = time.monotonic() + TIMEOUT
        while not all(self.done(record) for record in records):
            ready = dict(self.poller.poll(1000))
            for channel, socket in self.channels.items():
                if socket in ready:
                    self.receive(channel, self.client.session.recv(socket)[1])
            if time.monotonic() > deadline:
                raise NoAnswer(f"no answer within {TIMEOUT} s to {json.dumps([record['step'] for record in records if not self.done(record)])}")
            if not ready and not self.manager.is_alive():
                raise NoAnswer(f"the kernel's process ended during {json.dumps([record['step'] for record in records])}")

    def restart(self):
        record = self.send({"type": "shutdown_request", "content": {"restart": True}, "channel": "control"})
        self.wait([record])
        self.ended()
        self.discard()
        self.begin()
        return [record]

    def discard(self):
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def ended(self):
        deadline = time.monotonic() + TIMEOUT
        while self.manager.is_alive():
            if time.monotonic() > deadline:
                raise NoAnswer("the kernel's process did not end after its shutdown_reply")
            time.sleep(0.02)


def told(records):
    return [{**{name: record[name] for name in ("reply", "outputs", "state", "prompts")}, "when": told(record["when"])} for record in records]


def main():
    turns = json.load(sys.stdin)
    kernel = Kernel(sys.argv[1])
    results = []
    try:
        for turn in turns:
            if turn == "restart":
                results.append(told(kernel.restart()))
                continue
            records = [kernel.send(step) for step in turn]
            try:
                kernel.wait(records)
            except NoAnswer as problem:
                print(problem, file=sys.stderr)
                kernel.discard()
                kernel.begin()
            results.append(told(records))
        kernel.ended()  # the last turn is a shutdown
    finally:
        kernel.discard()
    tell(results)


main()
