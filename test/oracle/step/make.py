"""Writes golden.safetensors: 20 training steps of a small top-k SAE by PyTorch autograd and torch.optim.Adam, from random weights and rows.

usage: python make.py        (torch 2.13.0, safetensors 0.8.0; any machine gives these numbers up to float32 rounding)
Loss: Σe²/Σ(x − x̄)² + Σ(x̂' − r)²/Σ(x − x̄)² · min(1, dead/(d/2)); x̂' is made of the min(d/2, dead) largest of the dead latents, r is the detached residual.
W_dec's gradient loses its part along the rows before Adam, and rows go back to unit norm after it."""
from pathlib import Path

import torch
from safetensors.torch import save_file

d, F, k, n, steps, lr = 12, 96, 4, 48, 20, 3e-3
g = torch.Generator().manual_seed(0)
normal = lambda *shape: torch.randn(*shape, generator=g)
Wd = normal(F, d)
start = {"wEnc": normal(F, d) / d**0.5, "bEnc": normal(F) * 0.05, "wDec": Wd / Wd.norm(dim=1, keepdim=True), "bDec": normal(d) * 0.3}
x = normal(steps, n, d) * 1.2 + torch.linspace(0, 1, d)
golden = {"x": x, **{f"start.{name}": value for name, value in start.items()}}

for case, dead in {"none": [], "few": [3, 10, 40, 95], "many": list(range(20, 80))}.items():
    dead = torch.tensor(dead, dtype=torch.int64)
    We, be, Wd, bd = P = [value.clone().requires_grad_() for value in start.values()]
    adam = torch.optim.Adam(P, lr=lr, eps=1e-8)
    losses = []
    for t in range(steps):
        pre = (x[t] - bd) @ We.T + be
        v, i = pre.relu().topk(k)
        xHat = torch.zeros(n, F).scatter(1, i, v) @ Wd + bd
        variance = (x[t] - x[t].mean(0)).pow(2).sum()
        fvu, aux = (xHat - x[t]).pow(2).sum() / variance, torch.zeros(())
        if len(dead):
            v, i = pre[:, dead].topk(min(d // 2, len(dead)))
            rebuilt = torch.zeros(n, len(dead)).scatter(1, i, v.relu()) @ Wd[dead]
            aux = (rebuilt - (x[t] - xHat).detach()).pow(2).sum() / variance * min(1, len(dead) / (d // 2))
        adam.zero_grad()
        (fvu + aux).backward()
        if t == 0:
            golden |= {f"{case}.gradient.{name}": p.grad.clone() for name, p in zip(start, P)}
        with torch.no_grad():
            Wd.grad -= (Wd.grad * Wd).sum(1, keepdim=True) * Wd
            adam.step()
            Wd /= Wd.norm(dim=1, keepdim=True)
        losses.append([fvu.item(), aux.item()])
    golden[f"{case}.losses"] = torch.tensor(losses)
    golden[f"{case}.dead"] = dead.int()
    golden |= {f"{case}.end.{name}": p.detach().clone() for name, p in zip(start, P)}

save_file({name: value.contiguous() for name, value in golden.items()}, Path(__file__).parent / "golden.safetensors", {"torch": torch.__version__})
