"""Runs notebooks by nbclient, all at once, each in a kernel of its own: a JSON list of {"notebook", "allowErrors"?, "interruptAfter"?} on stdin.

A cell whose source holds a loop without end is interrupted after `interruptAfter` seconds. Prints the executed notebooks, each as
{"cells", "language", "error"?: what was raised}.
"""
import asyncio
import json
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from told import tell


async def run(task):
    notebook = nbformat.from_dict(task["notebook"])
    seconds = task.get("interruptAfter")
    client = NotebookClient(
        notebook, timeout=None, startup_timeout=60, allow_errors=task.get("allowErrors", False), interrupt_on_timeout=True,
        timeout_func=(lambda cell: seconds if "while (true)" in cell.source else None) if seconds else None,
    )
    error = None
    try:
        await client.async_execute()
    except CellExecutionError as raised:
        error = {"ename": raised.ename, "evalue": raised.evalue, "text": str(raised)}
    return {"cells": notebook.cells, "language": notebook.metadata.get("language_info"), "error": error}


async def main():
    tell(await asyncio.gather(*map(run, json.load(sys.stdin))))


asyncio.run(main())
