"""A Jupyter kernel as a front end meets it: started from its kernelspec, asked over its five sockets, timed to the millisecond, and gone without a trace."""
import json
import os
import signal
import time
from collections import defaultdict

import zmq
from jupyter_client import KernelManager

QUIET = 10  # seconds without a message before an answer counts as lost
CONTEXT = zmq.Context()


def ms(since):
    return (time.perf_counter() - since) * 1e3


class Failure(Exception):
    """What a kernel failed to do; `text` is what it had printed by then, `seen` the rows that could be measured all the same."""

    def __init__(self, why, text="", seen=None):
        super().__init__(why)
        self.text, self.seen = text, seen or {}


class Answer:
    reply, reply_ms, all_ms, text = None, None, None, ""


class Client:
    manager = None

    def __init__(self, name, kernel, cwd, scratch):
        self.name, self.kernel, self.cwd = name, kernel, cwd
        self.log = os.path.join(scratch, f"{name}.log")
        self.mark = os.path.join(scratch, "mark")  # a cell writes this file when its computation begins: no message may get through by then

    def launch(self):
        self.manager = KernelManager(kernel_name=self.kernel)
        with open(self.log, "ab") as log:
            self.manager.start_kernel(cwd=self.cwd, stdout=log, stderr=log)
        self.shell, self.control = self.connect(zmq.DEALER, "shell"), self.connect(zmq.DEALER, "control")
        self.iopub, self.heartbeat = self.connect(zmq.SUB, "iopub"), self.connect(zmq.REQ, "hb")
        self.iopub.subscribe(b"")

    def connect(self, kind, port):
        socket = CONTEXT.socket(kind)
        # Tried again every 10 ms rather than every 100, to time the start no coarser; no limit of messages on our side: what is lost, the kernel lost.
        socket.linger, socket.reconnect_ivl, socket.rcvhwm = 0, 10, 0
        socket.connect(f"tcp://{self.manager.ip}:{getattr(self.manager, port + '_port')}")
        return socket

    def stop(self):
        if not self.manager:
            return
        family = tree(self.manager.provisioner.pid) if self.manager.is_alive() else []
        self.manager.shutdown_kernel(now=True)  # kills the process group
        for pid in family[1:]:  # a child may have left the group
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for socket in (self.shell, self.control, self.iopub, self.heartbeat):
            socket.close()
        self.manager = None

    def send(self, kind, content, socket):
        session = self.manager.session
        return session.send(socket, session.msg(kind, content))["header"]["msg_id"]

    def meet(self, patience=20):
        """Waits for a kernel_info_reply and for a sign on iopub, as front ends do; returns the time of the reply.

        It asks again: a kernel may lose what comes while it starts (tslab, while it binds), and ZeroMQ drops what is published before we are subscribed."""
        replied, heard, last = None, False, time.perf_counter()
        while not (replied and heard):
            self.send("kernel_info_request", {}, self.shell)
            asked = time.perf_counter()
            while not (replied and heard) and ms(asked) < (20 if replied else 1000):
                if self.shell.poll(1) and read(self.shell)[0]["msg_type"] == "kernel_info_reply":
                    replied = replied or time.perf_counter()
                heard = heard or bool(self.iopub.poll(0))
            if not self.manager.is_alive():
                raise Failure("the kernel's process ended while it started")
            if ms(last) > patience * 1e3:
                raise Failure(f"no {'sign on iopub' if replied else 'kernel_info_reply'} within {patience} s of the start")
        return replied

    def ask(self, kind, content):
        """Any request on the shell channel, until its reply."""
        begun = time.perf_counter()
        return self.answer(self.send(kind, content, self.shell), begun, idle=False)

    def execute(self, code):
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
        return self.send("execute_request", content, self.shell)

    def answer(self, request, begun, expect="", idle=True, quiet=QUIET):
        """Waits for the reply of a request, and its idle status and the text `expect` where asked for; milliseconds since `begun`.

        The text can come last: Deno sometimes publishes a result after the idle status."""
        answer, texts, tail, last = Answer(), [], "", time.perf_counter()
        missing = {"reply", *(["idle status"] if idle else []), *([expect] if expect else [])}
        poller = zmq.Poller()
        for socket in (self.shell, self.iopub):
            poller.register(socket, zmq.POLLIN)
        while missing:
            ready = poller.poll(250)
            for socket, _ in ready:
                header, parent, content = read(socket)
                if parent.get("msg_id") != request:
                    continue
                last = time.perf_counter()
                if socket is self.shell:
                    answer.reply, answer.reply_ms = content, ms(begun)
                    missing -= {"reply"} if content.get("status", "ok") == "ok" else {"reply", expect}
                elif content.get("execution_state") == "idle":
                    missing.discard("idle status")
                elif header["msg_type"] in ("stream", "execute_result"):
                    texts.append(content.get("text") or content.get("data", {}).get("text/plain", ""))
                    tail += texts[-1]
                    missing -= {expect} if expect in tail else set()
                    tail = tail[-80:]
            if missing and not ready and not self.manager.is_alive():
                raise Failure("the kernel's process ended", "".join(texts))
            if missing and ms(last) > quiet * 1e3:
                raise Failure(f"no {' and no '.join(sorted(missing))} within {quiet:.0f} s", "".join(texts))
        answer.all_ms, answer.text = ms(begun), "".join(texts)
        return answer

    def run(self, code, expect="", quiet=QUIET):
        """Runs a cell that must succeed and show `expect`."""
        begun, what = time.perf_counter(), code.splitlines()[-1][:60]
        try:
            answer = self.answer(self.execute(code), begun, expect, quiet=quiet)
        except Failure as failure:
            raise Failure(f"{failure} after `{what}`", failure.text) from failure
        if answer.reply.get("status") != "ok":
            shown = answer.text.strip() or f"{answer.reply.get('ename')}: {answer.reply.get('evalue')}"
            raise Failure(f"`{what}` failed: {shown[:160]}")
        return answer

    def begin(self, code):
        """Sends a cell and returns its id once its computation has begun."""
        if os.path.exists(self.mark):
            os.remove(self.mark)
        request, sent = self.execute(code), time.perf_counter()
        while not os.path.exists(self.mark):
            if ms(sent) > QUIET * 1e3:
                raise Failure(f"the cell did not begin within {QUIET} s")
            time.sleep(0.001)
        return request


def read(socket):
    frames = socket.recv_multipart()
    at = frames.index(b"<IDS|MSG>")
    return [json.loads(frames[at + i]) for i in (2, 3, 5)]  # header, parent header, content


def tree(pid):
    """A process and all that descend from it."""
    children = defaultdict(list)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                children[int(file.read().rpartition(")")[2].split()[1])].append(int(entry))
        except OSError:
            pass  # ended meanwhile
    found = [pid]
    for parent in found:
        found.extend(children[parent])
    return found


def memory(pid):
    """Resident MB of a process tree: anonymous pages, summed, and each mapped file once, however many of the tree map it.

    Not the PSS, which shrinks when a process outside the tree maps the same library: TensorFlow's has 200 MB."""
    own, files = 0, defaultdict(int)
    for member in tree(pid):
        try:
            with open(f"/proc/{member}/smaps") as file:
                for line in file:
                    words = line.split()
                    if "-" in words[0]:  # start-end, permissions, offset, device, inode, path
                        mapping = tuple(words[2:5])
                    elif words[0] == "Rss:":
                        resident = int(words[1])
                    elif words[0] == "Anonymous:":
                        own += int(words[1])
                        files[mapping] = max(files[mapping], resident - int(words[1]))
        except OSError:
            pass  # ended meanwhile
    return (own + sum(files.values())) * 1024 / 1e6
