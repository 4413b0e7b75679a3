"""Drives `jupyter console` in a terminal of its own: console.py JUPYTER KERNEL, with a JSON list of steps on stdin.

A step is {"type": keys to send, "expect": regular expression of what then appears}. Prints for each what was on the screen up to there,
without colours and cursor movements; last, how the program ended.
"""
import json
import re
import sys

import pexpect

from told import tell

TIMEOUT = 60  # seconds for any one answer
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|\r")

jupyter, kernel = sys.argv[1:]
steps = json.load(sys.stdin)
# The console asks the kernel whether a line is complete, and on a busy machine would not wait for the answer.
patient = f"--ZMQTerminalInteractiveShell.kernel_is_complete_timeout={TIMEOUT}"
child = pexpect.spawn(jupyter, ["console", "--kernel", kernel, patient], encoding="utf8", dimensions=(200, 120), timeout=TIMEOUT)
screen = []

for step in steps:
    child.send(step["type"])
    raw = text = ""  # a prompt is drawn in pieces, and again and again: what is expected is looked for in all of it
    while not re.search(step["expect"], text):
        try:
            raw += child.read_nonblocking(65536, timeout=TIMEOUT)
        except pexpect.ExceptionPexpect as problem:
            sys.exit(f"{type(problem).__name__} after {step}: {text[-2000:]!r}; before that {screen}")
        text = CONTROL.sub("", raw)
    screen.append(text)
child.expect(pexpect.EOF)
child.close()
tell({"screen": screen, "code": child.exitstatus})
