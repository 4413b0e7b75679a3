"""Executes a notebook in a fresh kernel and writes it as one HTML file: publish.py NOTEBOOK OUT.html [--set NAME=VALUE ...] [--keep OUT.ipynb] [--footer TEXT].

nbclient runs the cells, nbconvert's `basic` template turns them into bare HTML, and this file adds a page around it with styles of its own:
no script, no network reference, light and dark. At the first error it stops, names the cell, shows the traceback and writes nothing.
"""
import argparse, html, os, re, sys, tempfile, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a line `NAME = VALUE;` after the cell tagged `parameters`; VALUE is a TypeScript expression")
    parser.add_argument("--keep", type=Path, help="also write the executed notebook here")
    parser.add_argument("--footer", default="", help="a line for the foot of the page")
    parser.add_argument("--kernel", default="saelab")
    return parser.parse_args()


def inject(notebook, settings):
    """Sets parameters the way papermill does: a cell of assignments behind the one tagged `parameters`."""
    if not settings:
        return
    at = next((i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])), None)
    if at is None:
        sys.exit("--set: expected a cell tagged `parameters` in the notebook, found none")
    lines = []
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_$][\w$]*", name):
            sys.exit(f"--set: expected NAME=VALUE, found {setting!r}")
        lines.append(f"{name} = {value};")
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": ["injected-parameters"]}))


def execute(notebook, folder, kernel):
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    began = {}

    def start(cell, cell_index):
        began[cell_index] = time.monotonic()

    def done(cell, cell_index, **_):
        if cell_index in began:
            first = next((line for line in cell.source.splitlines() if line.strip() and not line.startswith("import")), "")
            print(f"  cell {code.index(cell_index) + 1:2}/{len(code)} {time.monotonic() - began[cell_index]:7.1f} s  {first[:90]}", flush=True)

    client = NotebookClient(notebook, timeout=None, startup_timeout=120, kernel_name=kernel, resources={"metadata": {"path": str(folder)}}, on_cell_start=start, on_cell_executed=done)
    os.environ.setdefault("SAELAB_OUTPUT_PACE", "off")  # nbclient takes floods as they come
    # What the kernel's process itself writes (TensorFlow greets on its stderr) is no part of a report; it is wanted when the kernel dies.
    log = tempfile.TemporaryFile("w+")
    try:
        client.execute(stderr=log)
    except CellExecutionError as error:
        at = next(i for i in code if any(output.output_type == "error" for output in notebook.cells[i].get("outputs", [])))
        sys.exit(f"cell {code.index(at) + 1} of {len(code)} stopped with an error; no report was written\n{error.traceback}")
    except DeadKernelError:
        log.seek(0)
        sys.exit(f"the kernel ended while a cell was running (out of memory?); no report was written\n{log.read()[-4000:]}")


def page(notebook, title, footer):
    exporter = HTMLExporter(template_name="basic", anchor_link_text="", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    style = (Path(__file__).parent / "publish.css").read_text()
    light, dark = HtmlFormatter(style="default").get_style_defs(".highlight"), HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    # Of the pygments styles only the colours of tokens are wanted; the page has its own background.
    keep = lambda css: "\n".join(line for line in css.splitlines() if re.match(r"\.highlight \.\w", line))
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">\n<title>{html.escape(title)}</title>\n<style>\n{style}\n{keep(light)}\n'
            f'@media (prefers-color-scheme: dark) {{\n{keep(dark)}\n}}\n</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n<footer>{html.escape(footer)}</footer>\n</body>\n</html>\n')


def write(path, text):
    """All or nothing: a temporary file beside the target, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def main():
    a = arguments()
    if not a.notebook.is_file():
        sys.exit(f"{a.notebook}: expected a notebook, found nothing there")
    notebook = nbformat.read(a.notebook, as_version=4)
    inject(notebook, a.set)
    began = time.monotonic()
    print(f"Running {a.notebook}", flush=True)
    execute(notebook, a.notebook.resolve().parent, a.kernel)
    seconds = time.monotonic() - began
    heading = next((m.group(1) for cell in notebook.cells if cell.cell_type == "markdown" and (m := re.search(r"^# (.+)$", cell.source, re.M))), a.notebook.stem)
    text = page(notebook, heading, f"{a.footer} Executed in {seconds:.0f} s.".strip())
    # An XML namespace or a plain link to follow is no resource; anything that a page would load is.
    loads = re.findall(r"""<(?:script|link|iframe|object|embed)\b|(?:src|srcset|poster)\s*=\s*["'](?!data:)[^"']*|@import|url\((?!["']?data:)[^)]*\)""", text)
    if loads:
        sys.exit(f"the report would load something: {loads[:3]}; no report was written")
    if a.keep:
        write(a.keep, nbformat.writes(notebook))
    write(a.out, text)
    print(f"Ran {seconds:.1f} s; wrote {a.out} ({len(text.encode()) / 1e3:.0f} kB)")


main()
