"""The fastest plain PyTorch step we know for a top-k SAE on a CPU, to stand beside ours: no autograd, gathers for the value gradients, sparse CSR products for
the row gradients, one fused Adam, decoder rows to unit norm. The same arithmetic as the stock step without dead latents, float32.

usage: python torch_step.py ROWS D LATENTS K BATCH     ROWS: raw float32 rows; needs torch (tried with 2.13.0)
Prints "ready <version>"; then answers each line "n" with the milliseconds of n more steps, and after them the processor's, separated by spaces."""
import sys
import time

import numpy
import torch
import torch.nn.functional as functional

path, d, F, k, B = sys.argv[1], *map(int, sys.argv[2:6])
torch.set_grad_enabled(False)
X = torch.from_numpy(numpy.fromfile(path, dtype=numpy.float32).reshape(-1, d))
W = torch.randn(F, d, generator=torch.Generator().manual_seed(0))
W /= W.norm(dim=1, keepdim=True)
We, be, Wd, bd = parameters = [W / 3**0.5, torch.zeros(F), W.clone(), X.mean(0)]
adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)
row_of = torch.arange(B).repeat_interleave(k)
pre = torch.empty(B, F)


def step(x):
    xc = x - bd
    torch.addmm(be, xc, We.t(), out=pre)
    v, i = torch.topk(pre, k, sorted=False)
    v = v.relu()
    e = functional.embedding_bag(i, Wd, per_sample_weights=v, mode="sum") - xc
    variance = (x - x.mean(0)).pow(2).sum()
    fvu = e.pow(2).sum() / variance
    e *= 2 / variance
    g = torch.empty_like(v)
    for s in range(0, B, 64):
        g[s:s + 64] = torch.bmm(Wd[i[s:s + 64]], e[s:s + 64].unsqueeze(2)).squeeze(2)
    along = torch.zeros(F).index_add_(0, i.flatten(), (v * g).flatten())
    g *= v > 0
    f = i.flatten()
    order = torch.argsort(f)
    starts = torch.zeros(F + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(f, minlength=F).cumsum(0)

    def rows(weights, dense):
        return torch.sparse_csr_tensor(starts, row_of[order], weights.flatten()[order], (F, B), check_invariants=False) @ dense

    dbe = torch.zeros(F).index_add_(0, f, g.flatten())
    We.grad, be.grad, Wd.grad, bd.grad = rows(g, xc), dbe, rows(v, e) - along[:, None] * Wd, e.sum(0) - dbe @ We
    adam.step()
    Wd.div_(Wd.norm(dim=1, keepdim=True))
    return fvu.item()


batches = len(X) // B
done = 0
print("ready", torch.__version__, flush=True)
for line in sys.stdin:
    times, cpu = [], []
    for _ in range(int(line)):
        begun, before = time.perf_counter(), time.process_time()
        step(X[done % batches * B:(done % batches + 1) * B])
        times.append((time.perf_counter() - begun) * 1e3)
        cpu.append((time.process_time() - before) * 1e3)
        done += 1
    print(*times, *cpu, flush=True)
