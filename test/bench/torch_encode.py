"""PyTorch's side of bench saes: encodes with a sparsify checkpoint as plain PyTorch does, float32, all cores; answers each line of JSON with one.

usage: python torch_encode.py FOLDER K ROWS     ROWS: raw float32 rows; needs torch (tried with 2.13.0)
{"do": "open"} maps the file and reads the encoder; {"do": "encode", "to": name} encodes and, with "to", leaves name.index (int32) and name.value (float32).
Times are milliseconds of the clock and of the process (user + system)."""
import json
import sys
import time

import numpy
import torch

folder, k, rows = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.set_grad_enabled(False)
tensors = {}


def load():
    file = numpy.memmap(f"{folder}/sae.safetensors", mode="r", dtype=numpy.uint8)
    length = int(file[:8].view(numpy.uint64)[0])
    header = json.loads(bytes(file[8:8 + length]))
    for name in "encoder.weight", "encoder.bias", "b_dec":
        start, end = header[name]["data_offsets"]
        tensors[name] = torch.from_numpy(numpy.array(file[8 + length + start:8 + length + end]).view(numpy.float32).reshape(header[name]["shape"]))
    return {"version": torch.__version__}


def encode(to=None):
    x = X
    pre = torch.nn.functional.linear(x - tensors["b_dec"], tensors["encoder.weight"], tensors["encoder.bias"]).relu_()
    value, index = torch.topk(pre, k, sorted=False)
    if to:
        order = value.sort(1, descending=True).indices
        index.gather(1, order).int().numpy().tofile(f"{to}.index")
        value.gather(1, order).numpy().tofile(f"{to}.value")
    return {}


for line in sys.stdin:
    question = json.loads(line)
    what = question.pop("do")
    if what == "open":
        work = load
    else:
        X = torch.from_numpy(numpy.fromfile(rows, dtype=numpy.float32).reshape(-1, tensors["b_dec"].shape[0]))
        work = lambda: encode(**question)
    cpu, begun = time.process_time(), time.perf_counter()
    answer = work()
    print(json.dumps({**answer, "wall": (time.perf_counter() - begun) * 1e3, "cpu": (time.process_time() - cpu) * 1e3}), flush=True)
