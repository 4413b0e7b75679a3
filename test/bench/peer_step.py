"""Training steps of a top-k SAE in PyTorch, to stand beside ours.

torch     the fastest plain PyTorch we know: no autograd, gathers for the value gradients, sparse CSR products for the row gradients, one fused
          Adam, decoder rows to unit norm. The same arithmetic as the stock step, float32
torch-bf16  the same with its encoder product in bfloat16
sparsify  the body of Trainer.fit's hook and optimizer step for one SAE (eai-sparsify 1.3.3, its default: schedule-free sign SGD), without a language model
saelens   SAETrainer.step (sae-lens 6.54.12): forward pass, backward, gradient clipping, Adam, scheduler

usage: python peer_step.py TOOL ROWS D LATENTS K BATCH DEAD [DEVICE]     ROWS: raw float32 rows; needs torch (tried with 2.13.0)
DEVICE: cpu, or of the first two tools cuda (never run there yet): float32 without TF32, rows on the card beforehand.
DEAD: how many latents an auxiliary loss revives (sparsify only; 0: it is inactive).
Prints "ready <version>"; then answers each line "n" with the milliseconds of n more steps, and after them the processor's, separated by spaces."""
import contextlib
import io
import os
import sys
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
import numpy
import torch
import torch.nn.functional as functional

tool, path = sys.argv[1:3]
d, F, k, B, dead = map(int, sys.argv[3:8])
device = sys.argv[8] if len(sys.argv) > 8 else "cpu"
if device != "cpu" and not torch.cuda.is_available():
    print("missing a card that torch sees", flush=True)
    sys.exit()


def tuned(half):
    torch.set_grad_enabled(False)
    W = torch.randn(F, d, generator=torch.Generator().manual_seed(0)).to(device)
    W /= W.norm(dim=1, keepdim=True)
    We, be, Wd, bd = parameters = [W / 3**0.5, torch.zeros(F, device=device), W.clone(), X.mean(0)]
    adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    row_of = torch.arange(B, device=device).repeat_interleave(k)
    pre = torch.empty(B, F, device=device)
    some_rows = 64 if device == "cpu" else 512

    def step(x):
        xc = x - bd
        if half:
            with torch.autocast(device, torch.bfloat16):
                some = functional.linear(xc, We, be)
            v, i = torch.topk(some, k, sorted=False)
            v = v.float().relu()
        else:
            torch.addmm(be, xc, We.t(), out=pre)
            v, i = torch.topk(pre, k, sorted=False)
            v = v.relu()
        e = functional.embedding_bag(i, Wd, per_sample_weights=v, mode="sum") - xc
        variance = (x - x.mean(0)).pow(2).sum()
        fvu = e.pow(2).sum() / variance
        e *= 2 / variance
        g = torch.empty_like(v)
        for s in range(0, B, some_rows):
            g[s:s + some_rows] = torch.bmm(Wd[i[s:s + some_rows]], e[s:s + some_rows].unsqueeze(2)).squeeze(2)
        along = torch.zeros(F, device=device).index_add_(0, i.flatten(), (v * g).flatten())
        g *= v > 0
        f = i.flatten()
        order = torch.argsort(f)
        starts = torch.zeros(F + 1, dtype=torch.int64, device=device)
        starts[1:] = torch.bincount(f, minlength=F).cumsum(0)

        def rows(weights, dense):
            return torch.sparse_csr_tensor(starts, row_of[order], weights.flatten()[order], (F, B), check_invariants=False) @ dense

        dbe = torch.zeros(F, device=device).index_add_(0, f, g.flatten())
        We.grad, be.grad, Wd.grad, bd.grad = rows(g, xc), dbe, rows(v, e) - along[:, None] * Wd, e.sum(0) - dbe @ We
        adam.step()
        Wd.div_(Wd.norm(dim=1, keepdim=True))
        return fvu.item()

    return step, "PyTorch " + torch.__version__


def sparsify():
    with contextlib.redirect_stdout(io.StringIO()):
        from sparsify import SparseCoder, SparseCoderConfig
        from sparsify.sign_sgd import SignSGD
    from importlib.metadata import version
    from schedulefree import ScheduleFreeWrapper

    torch.set_float32_matmul_precision("high")  # as Trainer.fit
    torch.manual_seed(0)
    coder = SparseCoder(d, SparseCoderConfig(num_latents=F, k=k), "cpu", dtype=torch.float32)
    optimizer = ScheduleFreeWrapper(SignSGD(coder.parameters(), lr=5e-3 / (F / 2**14) ** 0.5), momentum=0.95)
    optimizer.train()
    coder.b_dec.data = X[:B].mean(0)
    since, fired = torch.zeros(F, dtype=torch.long), torch.zeros(F, dtype=torch.bool)
    mask = torch.zeros(F, dtype=torch.bool)
    mask[::max(1, F // max(dead, 1))][:dead] = True

    def step(x):
        coder.set_decoder_norm_to_unit_norm()
        out = coder(x=x, y=x, dead_mask=mask if dead else None, total_variance=(x - x.mean(0)).pow(2).sum())
        fired[out.latent_indices.flatten()] = True
        fvu = float(out.fvu.detach())
        (out.fvu + (1 / 32 if dead else 0.0) * out.auxk_loss + out.multi_topk_fvu / 8).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            since.add_(x.shape[0])
            since[fired] = 0
            fired.zero_()
        return fvu

    return step, "eai-sparsify " + version("eai-sparsify")


def saelens():
    from importlib.metadata import version
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(0)
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=d, d_sae=F, k=k, use_sparse_activations=False))  # sparse ones have no CPU kernel
    config = SAETrainerConfig(
        total_training_samples=10**6 * B, train_batch_size_samples=B, lr=3e-4, lr_end=3e-5, device="cpu", logger=LoggingConfig(log_to_wandb=False))
    trainer = SAETrainer(cfg=config, sae=sae, data_provider=iter(()))

    def step(x):
        trainer.maybe_reset_sparsity()
        out = trainer.step(x)
        trainer.n_training_steps += 1
        return out.loss.item()

    return step, "sae-lens " + version("sae-lens")


torch.backends.cuda.matmul.allow_tf32 = False
X = torch.from_numpy(numpy.fromfile(path, dtype=numpy.float32).reshape(-1, d)).to(device)
try:
    step, version = {"torch": lambda: tuned(False), "torch-bf16": lambda: tuned(True), "sparsify": sparsify, "saelens": saelens}[tool]()
except ImportError as error:
    print("missing", error, flush=True)
    sys.exit()
batches = len(X) // B
done = 0
print("ready", version, flush=True)
for line in sys.stdin:
    times, cpu = [], []
    for _ in range(int(line)):
        begun, before = time.perf_counter(), time.process_time()
        step(X[done % batches * B:(done % batches + 1) * B])
        times.append((time.perf_counter() - begun) * 1e3)
        cpu.append((time.process_time() - before) * 1e3)
        done += 1
    print(*times, *cpu, flush=True)
