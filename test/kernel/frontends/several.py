"""Runs several kernels in one folder at once: several.py KERNEL COUNT. Each keeps a value of its own, one of them is interrupted.

Prints for each kernel {"seen": what it holds, "waited": what a cell gave that ran through the interrupt}; the interrupted one's is its error.
"""
import sys

from jupyter_client import KernelManager

from told import tell

TIMEOUT = 60  # seconds for any one answer

name, count = sys.argv[1], int(sys.argv[2])
managers = [KernelManager(kernel_name=name) for _ in range(count)]


def execute(client, code):
    outputs = []
    reply = client.execute_interactive(code, timeout=TIMEOUT, output_hook=outputs.append)
    results = [message["content"]["data"]["text/plain"] for message in outputs if message["msg_type"] == "execute_result"]
    return results[0] if results else reply["content"].get("ename")


def result(client, sent):
    """The reply to a request that was sent before, and its result."""
    found = None
    while True:
        message = client.get_iopub_msg(timeout=TIMEOUT)
        if message["parent_header"].get("msg_id") != sent:
            continue
        if message["msg_type"] == "execute_result":
            found = message["content"]["data"]["text/plain"]
        elif message["msg_type"] == "error":
            found = message["content"]["ename"]
        elif message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return found


try:
    for manager in managers:
        manager.start_kernel()
    clients = [manager.client() for manager in managers]
    for client in clients:
        client.start_channels()
    for client in clients:
        client.wait_for_ready(timeout=TIMEOUT)
    for i, client in enumerate(clients):
        execute(client, f"const mine = {i};\nlet only{i} = 'here';\n(globalThis as any).shared = ((globalThis as any).shared ?? 0) + 1;")
    loop, wait = "while (true);", "await new Promise((r) => setTimeout(r, 1500));\nmine"
    waiting = [client.execute("console.log('begun');\n" + (wait if i else loop)) for i, client in enumerate(clients)]
    for client in clients:
        while client.get_iopub_msg(timeout=TIMEOUT)["msg_type"] != "stream":
            pass
    managers[0].interrupt_kernel()
    waited = [result(client, sent) for client, sent in zip(clients, waiting)]
    names = ", ".join(f"typeof (globalThis as any).only{i}" for i in range(count))
    seen = [execute(client, f"[mine, (globalThis as any).shared, {names}]") for client in clients]
    foreign = execute(clients[0], "only1")
    tell({"kernels": [{"seen": a, "waited": b} for a, b in zip(seen, waited)], "foreign": foreign})
finally:
    for manager in managers:
        if manager.has_kernel:
            manager.shutdown_kernel()
