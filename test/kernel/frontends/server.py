"""Runs Jupyter's server with the Notebook application and uses it as a browser does: server.py JUPYTER KERNEL.

Prints {"kernelspec", "logos": {name: bytes and type}, "page": status of the application's page, "printed", "flooded", "interrupted", "after", "restarted"}.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import datetime, timezone

import requests
import websocket

from told import tell

TIMEOUT = 60  # seconds for any one answer

jupyter, kernel = sys.argv[1:]
TOKEN = uuid.uuid4().hex


class Kernel:
    """One kernel over the server's REST and websocket interfaces."""

    def __init__(self, base, http):
        self.base, self.http, self.session = base, http, uuid.uuid4().hex
        self.id = http.post(f"{base}/api/kernels", json={"name": kernel}, timeout=TIMEOUT).json()["id"]
        self.socket = websocket.create_connection(
            f"{base.replace('http', 'ws', 1)}/api/kernels/{self.id}/channels?session_id={self.session}&token={TOKEN}", timeout=TIMEOUT)

    def execute(self, code, on_text=None, then=None):
        """Outputs of a cell; `then` is called once it has printed `on_text`."""
        header = {
            "msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": self.session,
            "date": datetime.now(timezone.utc).isoformat(), "version": "5.4",
        }
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True, "stop_on_error": True}
        self.socket.send(json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []}))
        outputs, replied, idle = [], False, False
        while not (replied and idle):
            message = json.loads(self.socket.recv())
            if message["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            kind, content = message["msg_type"], message["content"]
            replied = replied or kind == "execute_reply"
            idle = idle or (kind == "status" and content["execution_state"] == "idle")
            if message["channel"] == "iopub" and kind not in ("status", "execute_input"):
                outputs.append({"type": kind, "content": content})
            if then and kind == "stream" and on_text in content["text"]:
                then()
                then = None
        return outputs

    def post(self, verb):
        self.http.post(f"{self.base}/api/kernels/{self.id}/{verb}", timeout=TIMEOUT).raise_for_status()


def use(base):
    http = requests.Session()
    http.headers["Authorization"] = f"token {TOKEN}"
    spec = http.get(f"{base}/api/kernelspecs", timeout=TIMEOUT).json()["kernelspecs"][kernel]
    logos = {name: http.get(base + url, timeout=TIMEOUT) for name, url in spec["resources"].items()}
    page = http.get(f"{base}/tree", timeout=TIMEOUT).status_code
    running = Kernel(base, http)
    printed = running.execute("console.log('over the server');\nconst kept = 6 * 7;\nkept")
    # More than the server passes on at once: it throws away what comes faster than its limits.
    flood = "".join(output["content"]["text"] for output in running.execute("for (let i = 0; i < 400_000; i++) console.log('line', i);"))
    interrupted = running.execute("console.log('looping');\nwhile (true);", "looping", lambda: running.post("interrupt"))
    after = running.execute("kept + 1")
    running.post("restart")
    restarted = running.execute("typeof (globalThis as any).kept")
    http.delete(f"{base}/api/kernels/{running.id}", timeout=TIMEOUT).raise_for_status()
    return {
        "kernelspec": spec, "logos": {name: {"bytes": len(got.content), "type": got.headers["Content-Type"]} for name, got in logos.items()},
        "page": page, "printed": printed, "flooded": flood == "".join(f"line {i}\n" for i in range(400_000)), "interrupted": interrupted, "after": after, "restarted": restarted,
        "left": http.get(f"{base}/api/kernels", timeout=TIMEOUT).json(),
    }


with tempfile.TemporaryFile("w+") as log:
    server = subprocess.Popen(
        [jupyter, "notebook", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}"], stdout=log, stderr=log)
    try:
        # It writes its address to a file named by its process; port 0 would give one that is free, but the server takes it for "any of 50".
        info = os.path.join(os.environ["JUPYTER_RUNTIME_DIR"], f"jpserver-{server.pid}.json")
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(info):
            if server.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                sys.exit(f"jupyter notebook did not start:\n{log.read()}")
            time.sleep(0.05)
        with open(info) as file:
            url = re.sub(r"/$", "", json.load(file)["url"])
        tell(use(url))
    finally:
        server.terminate()
        server.wait()
