"""PyTorch's side of bench model, by transformers, one thread, float32: answers each line of JSON with one.

usage: python torch_model.py FOLDER eager|sdpa     needs torch, transformers (tried with 2.13.0, 5.23.0)
       python torch_model.py --onnx FILE           needs onnx: loads the file once and says what that took
Times are milliseconds of the process (user + system) and of the clock; memory is in MB."""
import base64
import json
import resource
import sys
import time

if sys.argv[1] == "--onnx":
    import onnx
    before, begun = time.process_time(), time.perf_counter()
    model = onnx.load(sys.argv[2])
    print(json.dumps({"version": onnx.__version__, "nodes": len(model.graph.node), "cpu": (time.process_time() - before) * 1e3,
                      "wall": (time.perf_counter() - begun) * 1e3, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}))
    sys.exit()

import torch
import transformers

torch.set_num_threads(1)
torch.set_grad_enabled(False)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation=sys.argv[2]).eval()
core, blocks = model.model, model.model.layers


class Reached(Exception):
    pass


def first(output):
    return output[0] if isinstance(output, tuple) else output


def reach(*_):
    raise Reached


def run(batch, times, layers=None, how=None, hooks=()):
    """The stream after `layers` blocks (all by default). raise: a hook ends the pass; truncate: the model holds no more blocks. Hooks keep clones."""
    ids = torch.tensor(batch)
    kept, handles = {}, []

    def keep(module, name, inputs=False):
        def hook(module, args, output=None):
            kept[name] = first(args if inputs else output).clone()
        handles.append(module.register_forward_pre_hook(hook) if inputs else module.register_forward_hook(hook))

    for name in hooks:
        _, number, *part = name.split(".")
        block = blocks[int(number)]
        match ".".join(part):
            case "": keep(block, name)
            case "self_attn": keep(block.self_attn, name)
            case "mlp": keep(block.mlp, name)
            case "mid": keep(block.post_attention_layernorm, name, inputs=True)
            case "attn.z": keep(block.self_attn.o_proj, name, inputs=True)
            case other: raise ValueError(f"no hook for {other}")
    if how == "raise":
        handles.append(blocks[layers - 1].register_forward_hook(reach))
    if how == "truncate":
        core.layers, core.config.num_hidden_layers = blocks[:layers], layers
    numbers = 0
    try:
        for _ in range(times):
            kept.clear()
            try:
                core(ids, use_cache=False)
            except Reached:
                pass
            numbers += sum(x.numel() for x in kept.values())
    finally:
        core.layers, core.config.num_hidden_layers = blocks, len(blocks)
        for handle in handles:
            handle.remove()
    return {"numbers": numbers}


def generate(ids, tokens, how):
    """Greedy, batch 1. loop: the least that decoding with transformers' own cache takes."""
    ids = torch.tensor([ids])
    if how == "generate":
        return {"ids": model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens,
                                      pad_token_id=0)[0, ids.shape[1]:].tolist()}
    cache = transformers.DynamicCache(config=model.config)
    made = []
    while len(made) < tokens:
        ids = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1:].argmax(-1)
        made.append(ids.item())
    return {"ids": made}


def rows(ids, layer):
    found = []
    handle = blocks[layer].register_forward_hook(lambda module, args, output: found.append(first(output)))
    core(torch.tensor([ids]), use_cache=False)
    handle.remove()
    return {"data": base64.b64encode(found[0].numpy().tobytes()).decode()}


def version():
    return {"version": f"{torch.__version__}, transformers {transformers.__version__}"}


for line in sys.stdin:
    question = json.loads(line)
    begun, before = time.perf_counter(), time.process_time()
    try:
        answer = {"version": version, "run": run, "generate": generate, "rows": rows}[question.pop("do")](**question)
        answer |= {"cpu": (time.process_time() - before) * 1e3, "wall": (time.perf_counter() - begun) * 1e3}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
