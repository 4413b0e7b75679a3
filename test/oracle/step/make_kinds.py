"""Writes kinds.safetensors: five training steps of every kind and structure by PyTorch autograd and torch.optim.Adam, in float64, and
gradients with the faults that peers had.

usage: python make_kinds.py        (torch 2.13.0, safetensors 0.8.0; any machine gives these numbers)
For each kind x structure: `flat.gradient` of the first batch and `flat.end`, the parameters after all steps, each one array of all parameters in the
order of PARTS; `losses` [steps, 3]: FVU, what the kind adds, auxiliary term. Rows are such that no choice is near a tie (asserted), in float32 too.
Structures: sae (y = x), transcoder (y of another width, b_dec not subtracted), skip (the same with W_skip)."""
from pathlib import Path

import torch
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
d, D, F, k, n, steps, lr = 6, 5, 18, 3, 16, 5, 3e-3
widths, dead, l0_weight, bandwidth = [4, 9, F], torch.tensor([2, 7, 11, 12, 16]), 1.5, 0.3 * (d / k) ** 0.5
PARTS = ["wEnc", "bEnc", "wDec", "bDec", "wSkip", "logThreshold"]
MARGIN = 1e-4


def separated(values, count):
    """The `count` largest are no near tie with what follows."""
    top = values.sort(descending=True).values
    assert count == len(top) or top[count - 1] - top[count] > MARGIN or top[count - 1] < -MARGIN, "near tie"


def row_mask(pre, count, allowed=None):
    among = pre if allowed is None else pre[:, allowed]
    for row in among.detach():
        separated(row, count)
    index = among.topk(count).indices
    return torch.zeros_like(pre).scatter(1, index if allowed is None else allowed[index], 1.0)


class Jump(torch.autograd.Function):
    """p·H(p − θ), or H(p − θ) alone, with the rectangle as H's slope in θ (Rajamanoharan et al. 2024)."""

    @staticmethod
    def forward(ctx, p, theta, whole):
        ctx.save_for_backward(p, theta)
        ctx.whole = whole
        gate = (p > theta).to(p)
        return p * gate if whole else gate

    @staticmethod
    def backward(ctx, grad):
        p, theta = ctx.saved_tensors
        near = ((p - theta).abs() < bandwidth / 2).to(p) / bandwidth
        if ctx.whole:
            return grad * (p > theta), -(grad * near * theta).sum(0), None
        return None, -(grad * near).sum(0), None


def losses(kind, P, x, y, tied, fault=None):
    pre = (x - P["bDec"] if tied else x) @ P["wEnc"].T + P["bEnc"]
    variance = (y - y.mean(0)).pow(2).sum()
    away = P["bDec"] + (x @ P["wSkip"].T if "wSkip" in P else 0)
    share = lambda v: (v @ P["wDec"] + away - y).pow(2).sum() / variance
    extra = torch.zeros(())
    if kind == "jumprelu":
        theta = P["logThreshold"].exp()
        gap = (pre - theta).detach().abs()
        assert min(gap.min(), (gap - bandwidth / 2).abs().min()) > MARGIN, "near the threshold or the rectangle's edge"
        v = Jump.apply(pre, theta, True)
        extra = l0_weight * (Jump.apply(pre, theta, False).sum() / n / k - 1) ** 2
    elif kind in ("topk", "multitopk"):
        v = pre.relu() * row_mask(pre, k)
        if kind == "multitopk":
            more = pre.relu() * row_mask(pre, 4 * k)
            extra = share(more.detach() if fault == "multitopk without the encoder" else more) / 8
    elif kind == "groupmax":
        groups = pre.relu().unflatten(1, (k, -1))
        for row in pre.detach().flatten(0, 1).unflatten(0, (n, k, -1)).flatten(0, 1):
            separated(row, 1)
        v = torch.zeros_like(groups).scatter(2, groups.max(2, keepdim=True).indices, groups.max(2, keepdim=True).values).flatten(1)
    else:
        flat = pre.detach().flatten()
        separated(flat, n * k)
        v = pre.relu() * torch.zeros_like(flat).scatter(0, flat.topk(n * k).indices, 1.0).view_as(pre)
    fvu = share(v)
    if kind == "matryoshka":
        extra = sum(share(v * (torch.arange(F) < width)) for width in widths) / len(widths) - fvu
    residual = (y - (v @ P["wDec"] + away)).detach()
    alone = pre * row_mask(pre, min(y.shape[1] // 2, len(dead)), dead)
    alone = alone if fault == "auxiliary without ReLU" else alone.relu()
    rebuilt = (alone.detach() if fault == "auxiliary without the encoder" else alone) @ P["wDec"]
    if fault == "auxiliary with b_dec":
        rebuilt = rebuilt + P["bDec"]
    aux = (rebuilt - residual).pow(2).sum() / variance * min(1, len(dead) / (y.shape[1] // 2))
    return fvu, extra, aux


flat = lambda parts: torch.cat([value.flatten() for value in parts]).float()


def make(seed):
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g).float().double()  # what float32 can hold
    unit = lambda w: (w / w.norm(dim=1, keepdim=True)).float().double()
    x, y = normal(steps, n, d), normal(steps, n, D)
    start = {"wEnc": normal(F, d) / 2, "bEnc": (normal(F) / 4), "bDec": normal(d) / 2}
    outs = {"sae": {"wDec": unit(normal(F, d))}, "other": {"wDec": unit(normal(F, D)), "bDec": normal(D) / 2, "wSkip": normal(D, d) / 4}}
    thresholds = {"logThreshold": normal(F) / 4 + 0.25}
    golden = {"x": x, "y": y, "start.wEnc": start["wEnc"], "start.bEnc": start["bEnc"], "sae.wDec": outs["sae"]["wDec"], "sae.bDec": start["bDec"],
              **{f"other.{name}": value for name, value in outs["other"].items()}, **thresholds}

    def parameters(kind, structure):
        parts = start | (outs["sae"] if structure == "sae" else outs["other"]) | (thresholds if kind == "jumprelu" else {})
        return {name: parts[name].clone().requires_grad_() for name in PARTS if name in parts and (name != "wSkip" or structure == "skip")}

    for kind in ["topk", "batchtopk", "multitopk", "groupmax", "matryoshka", "jumprelu"]:
        for structure in ["sae", "transcoder", "skip"]:
            P = parameters(kind, structure)
            adam = torch.optim.Adam([{"params": [p], "lr": lr * (10 if name == "logThreshold" else 1)} for name, p in P.items()], eps=1e-8)
            record = []
            for t in range(steps):
                parts = losses(kind, P, x[t], x[t] if structure == "sae" else y[t], structure == "sae")
                adam.zero_grad()
                sum(parts).backward()
                record.append([part.item() for part in parts])
                if t == 0:
                    golden[f"{kind}.{structure}.gradient"] = flat(p.grad for p in P.values())
                with torch.no_grad():
                    Wd = P["wDec"]
                    Wd.grad -= (Wd.grad * Wd).sum(1, keepdim=True) * Wd
                    adam.step()
                    Wd /= Wd.norm(dim=1, keepdim=True)
            golden[f"{kind}.{structure}.losses"] = torch.tensor(record)
            golden[f"{kind}.{structure}.end"] = flat(p.detach() for p in P.values())
    for fault in ["multitopk without the encoder", "auxiliary without the encoder", "auxiliary with b_dec", "auxiliary without ReLU"]:
        P = parameters("multitopk", "sae")
        sum(losses("multitopk", P, x[0], x[0], True, fault)).backward()
        golden[f"fault.{fault}"] = flat(p.grad for p in P.values())
        wEnc, wDec = slice(0, F * d), slice(F * d + F, 2 * F * d + F)
        part = wEnc if "encoder" in fault else wDec
        wrong, right = (golden[name][part].view(F, d)[slice(None) if "multi" in fault else dead] for name in [f"fault.{fault}", "multitopk.sae.gradient"])
        assert (wrong - right).norm() > 0.1 * right.norm(), "the fault shows too little"
    return golden


for seed in range(100_000):
    try:
        golden = make(seed)
        break
    except AssertionError as why:
        continue
print("seed", seed)
file = Path(__file__).parent / "kinds.safetensors"
save_file({name: value.float().contiguous() for name, value in golden.items()}, file, {"torch": torch.__version__, "seed": str(seed)})
print(file.stat().st_size, "bytes")
