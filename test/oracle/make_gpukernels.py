"""The kernels that a CUDA build of TensorFlow has for a card, of the ops that src/adapters runs: gpukernels.json.

No card and no CUDA library is needed: the C API tells what is registered. The wheel `tensorflow` (not `tensorflow-cpu`) is the CUDA
build; installed without its dependencies it will do:

    python3 -m venv gpu && gpu/bin/pip install --no-deps tensorflow==2.21.0
    python3 test/oracle/make_gpukernels.py gpu/lib/python3*/site-packages/tensorflow

By op: the names of inputs and outputs (with the attribute that counts them, where one is a list), and of each kernel for "GPU", or for
"DEFAULT", which a card takes where there is none, the dtypes it is for (numbers as in types.proto) and the arguments that lie in the
host's memory.
"""
import ctypes
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
TYPES = {1, 2, 3, 9, 10, 14, 20, 21}  # float32, float64, int32, int64, bool, bfloat16, resource, variant


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p)]


def registry(wheel: Path) -> tuple[str, bytes, bytes]:
    """Version, KernelList and OpList, both as protocol buffers."""
    library = ctypes.CDLL(str(wheel / "libtensorflow_cc.so.2"))
    for name in ("TF_GetAllRegisteredKernels", "TF_GetAllOpList"):
        getattr(library, name).restype = ctypes.POINTER(Buffer)
    library.TF_NewStatus.restype = ctypes.c_void_p
    library.TF_GetCode.argtypes = library.TF_GetAllRegisteredKernels.argtypes = [ctypes.c_void_p]
    library.TF_Version.restype = ctypes.c_char_p
    status = library.TF_NewStatus()
    kernels, ops = library.TF_GetAllRegisteredKernels(status).contents, library.TF_GetAllOpList().contents
    assert library.TF_GetCode(status) == 0
    return library.TF_Version().decode(), ctypes.string_at(kernels.data, kernels.length), ctypes.string_at(ops.data, ops.length)


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data: bytes):
    """(number, value) of each field: an int, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size = {5: 4, 1: 8}.get(key & 7)
            if size is None:
                size, at = varint(data, at)
            value = data[at : at + size]
            at += size
        yield key >> 3, value


def all_of(data: bytes, number: int) -> list:
    return [value for field, value in fields(data) if field == number]


def text(data: bytes, number: int) -> str:
    return next((value.decode() for value in all_of(data, number)), "")


def types(allowed: bytes) -> list[int]:
    """AttrValue: a type (6), or a list (1) of them (6, packed or not)."""
    out = list(all_of(allowed, 6))
    for values in all_of(allowed, 1):
        for value in all_of(values, 6):
            if isinstance(value, int):
                out.append(value)
                continue
            at = 0
            while at < len(value):
                number, at = varint(value, at)
                out.append(number)
    return out


def arguments(op: bytes, number: int) -> list[dict]:
    """ArgDef: name 1, number_attr 5."""
    return [{"name": text(one, 1), **({"count": text(one, 5)} if text(one, 5) else {})} for one in all_of(op, number)]


def main(wheel: Path) -> None:
    version, kernel_list, op_list = registry(wheel)
    source = "".join(path.read_text() for path in sorted((HERE / "../../src/adapters").glob("*.ts")))
    wanted = sorted(set(re.findall(r'(?:run|unary|binary|compare)\("([A-Z]\w+)"', source)) | {"Less"})
    ops = {text(op, 1): op for op in all_of(op_list, 1)}
    out = {}
    for name in wanted:
        if name not in ops:
            continue  # one of ours
        kernels = []
        for kernel in all_of(kernel_list, 1):  # KernelDef: op 1, device 2, constraints 3, host memory 4
            if text(kernel, 1) != name or text(kernel, 2) not in ("GPU", "DEFAULT"):
                continue
            constraints = {text(one, 1): [t for allowed in all_of(one, 2) for t in types(allowed)] for one in all_of(kernel, 3)}
            constraints = {attribute: allowed for attribute, allowed in constraints.items() if allowed}
            if not all(set(allowed) & TYPES for allowed in constraints.values()):
                continue
            host = [value.decode() for value in all_of(kernel, 4)]
            kernels.append({"device": text(kernel, 2), "types": {a: [t for t in allowed if t in TYPES] for a, allowed in constraints.items()}, "host": host})
        out[name] = {"inputs": arguments(ops[name], 2), "outputs": arguments(ops[name], 3), "kernels": kernels}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(op, separators=(',', ':'))}" for name, op in out.items())
    (HERE / "gpukernels.json").write_text(f'{{"tensorflow": {json.dumps(version)}, "ops": {{\n{lines}\n}}}}\n')
    print(f"TensorFlow {version}: {len(out)} ops, {sum(len(op['kernels']) for op in out.values())} kernels")


main(Path(sys.argv[1]))
