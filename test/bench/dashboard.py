"""SAEDashboard's SaeVisRunner on a tiny random model (4 layers) and a random top-k SAE: its cost for so many features.

    python dashboard.py OUT --latents 4096 --d 64 --k 16 --seqs 2000 --ctx 64 --features 256 1024

OUT gets what another tool needs for the same work: sae/ (SAELens), rows.f32 [tokens, d] at the hook, tokens.i32, then lines of JSON: the
pass that made the rows, and each number of features.
"""
import argparse, json, os, resource, tempfile, time, warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait take no CPU time: it is what is compared
warnings.filterwarnings("ignore")
import torch
from importlib.metadata import version
from sae_lens import HookedSAETransformer, TopKSAE, TopKSAEConfig
from sae_dashboard.sae_vis_data import SaeVisConfig
from sae_dashboard.sae_vis_runner import SaeVisRunner
from tokenizers import Tokenizer, models
from transformer_lens import HookedTransformerConfig
from transformers import PreTrainedTokenizerFast

parser = argparse.ArgumentParser()
parser.add_argument("out", type=Path)
for name, default in {"latents": 4096, "d": 64, "k": 16, "seqs": 2000, "ctx": 64}.items():
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--features", type=int, nargs="+", default=[256, 1024])
a = parser.parse_args()

torch.set_num_threads(2)
torch.manual_seed(0)
HOOK, VOCABULARY = "blocks.2.hook_resid_post", 512
model = HookedSAETransformer(HookedTransformerConfig(
    n_layers=4, d_model=a.d, n_ctx=a.ctx, d_head=16, n_heads=max(1, a.d // 16), d_mlp=4 * a.d, d_vocab=VOCABULARY, act_fn="gelu",
    normalization_type="LN", device="cpu", seed=0))
words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
model.tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", bos_token="w1", eos_token="w2", pad_token="w2")
sae = TopKSAE(TopKSAEConfig(d_in=a.d, d_sae=a.latents, k=a.k, rescale_acts_by_decoder_norm=True))
tokens = torch.randint(0, VOCABULARY, (a.seqs, a.ctx), generator=torch.Generator().manual_seed(1))


def spent(work):
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {"wall": round(time.perf_counter() - begun, 2), "cpu": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2), "peak": round(after.ru_maxrss / 1024)}


def rows():
    with torch.no_grad(), open(a.out / "rows.f32", "wb") as file:
        for batch in tokens.split(64):
            _, cache = model.run_with_cache(batch, names_filter=HOOK, stop_at_layer=3)
            file.write(cache[HOOK].float().contiguous().numpy().tobytes())


a.out.mkdir(parents=True, exist_ok=True)
sae.save_model(a.out / "sae")
(a.out / "tokens.i32").write_bytes(tokens.to(torch.int32).numpy().tobytes())
print(json.dumps({"pass": spent(rows), "sae_dashboard": version("sae-dashboard"), "torch": torch.__version__}), flush=True)
for features in a.features:
    # 256 features at a time, 64 texts a batch: its defaults but for the texts, of which it takes fewer
    config = SaeVisConfig(hook_point=HOOK, features=list(range(features)), minibatch_size_features=256, minibatch_size_tokens=64, verbose=False)
    print(json.dumps({"features": features, **spent(lambda: SaeVisRunner(config).run(encoder=sae, model=model, tokens=tokens))}), flush=True)
