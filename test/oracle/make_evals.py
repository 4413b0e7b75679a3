"""make_evals.py MODELS_DIR OUTDIR: what SAELens' own evals and scikit-learn say of small SAEs on the tiny llama. See README.md."""
import json, sys
from pathlib import Path
import numpy as np
PROBES = 'probes' in sys.argv[3:]                                         # scikit-learn lives in another environment
if not PROBES:
    import torch
    from safetensors.torch import save_file
    from sae_lens.evals import get_eval_everything_config, run_evals
    from sae_lens.load_model import load_model
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
    from sae_lens.training.activation_scaler import ActivationScaler
    torch.set_num_threads(1); torch.set_grad_enabled(False)
MODELS, OUT = Path(sys.argv[1]), Path(sys.argv[2])
MODEL, PLACE, F, K, TEXTS, LENGTH, SEED = 'llama', 'model.layers.1', 48, 8, 4, 24, 5
SPECIAL = [0, 1, 2]                                                       # pad, bos, eos: what SAELens asks of the tokenizer


def bf16(x): return x.to(torch.bfloat16).float()                          # so that a checkpoint in half the bytes has the same numbers


def texts(model):
    """Sampled from the model itself: what it foretells, and its blocks are worth something. A BOS first, another special token within."""
    g = torch.Generator().manual_seed(SEED)
    ids = torch.ones(TEXTS, 1, dtype=torch.long)
    while ids.shape[1] < LENGTH:
        p = (2 * model(ids)[:, -1]).softmax(-1); p[:, SPECIAL] = 0
        ids = torch.cat([ids, torch.multinomial(p, 1, generator=g)], 1)
    for row in range(1, TEXTS, 2): ids[row, 7 + row] = 2
    return ids


def rows(model, ids):
    _, cache = model.run_with_cache(ids, names_filter=[PLACE]); return cache[PLACE].flatten(0, 1)


def weights(x):
    """Encoder: random rows of the data, centred; decoder: least squares from what the encoder makes of them. Not trained, yet it explains something."""
    g = torch.Generator().manual_seed(SEED + 1)
    mean = bf16(x.mean(0)); c = x - mean
    enc = bf16(torch.nn.functional.normalize(c[torch.randperm(len(c), generator=g)[:F]], dim=1)); b = bf16(0.05 * torch.randn(F, generator=g) - 0.2)
    pre = (c @ enc.T + b).relu(); top = pre.topk(K, 1)
    a = torch.zeros_like(pre).scatter_(1, top.indices, top.values)
    dec = torch.linalg.solve(a.T @ a + 2.0 * torch.eye(F), a.T @ c)
    return enc, b, bf16(dec), mean, pre


def saes(x, folder):
    enc, b, dec, mean, pre = weights(x)
    common = dict(d_in=x.shape[1], d_sae=F, dtype='float32', device='cpu', apply_b_dec_to_input=True)
    top = TopKSAE(TopKSAEConfig(k=K, rescale_acts_by_decoder_norm=False, **common))
    jump = JumpReLUSAE(JumpReLUSAEConfig(**common))
    for sae in (top, jump):
        sae.W_enc.data, sae.b_enc.data, sae.W_dec.data, sae.b_dec.data = enc.T.clone(), b.clone(), dec.clone(), mean.clone()
        sae.cfg.metadata.hook_name = PLACE
    jump.threshold.data = bf16(pre.quantile(0.85, 0))
    for name, sae in (('topk', top), ('jumprelu', jump)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous().bfloat16() for k, v in sae.state_dict().items()}, folder / name / 'sae_weights.safetensors')
        (folder / name / 'cfg.json').write_text(json.dumps(sae.cfg.to_dict() | dict(dtype='bfloat16')) + '\n')
    return dict(topk=top, jumprelu=jump)


class Tokens:
    """The part of an ActivationsStore that run_evals asks: fixed tokens, one batch."""
    context_size, store_batch_size_prompts = LENGTH, TEXTS
    def __init__(self, ids): self.ids = ids
    def get_batch_tokens(self, n): return self.ids
    def reset_input_dataset(self): pass


def probes():
    """scikit-learn's logistic regression, defaults as SAEBench has them (L2, C = 1), on a small unbalanced set; separable with the first feature."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, roc_auc_score
    r = np.random.default_rng(SEED)
    y = (r.uniform(size=60) < 0.3).astype(int)
    x = np.round(np.maximum(0, r.normal(size=(60, 4)) + np.outer(y, [2.0, 1.0, 0.3, 0.0])), 3)
    apart = np.round(np.stack([y * 5.0 + r.uniform(size=60), r.uniform(size=60)], 1), 3)
    out = []
    for name, data, c in (('mixed', x, 1.0), ('strong penalty', x, 0.01), ('separable', apart, 1.0), ('one feature', x[:, 3:], 1.0), ('large units', x * 1000, 1.0)):
        fit = LogisticRegression(C=c, max_iter=100000, tol=1e-12, solver='newton-cholesky').fit(data, y)
        score = fit.decision_function(data)
        out.append(dict(name=name, c=c, x=data.tolist(), y=y.tolist(), weights=fit.coef_[0].tolist(), bias=float(fit.intercept_[0]), accuracy=float((fit.predict(data) == y).mean()),
                        auroc=roc_auc_score(y, score), average_precision=average_precision_score(y, score)))
    difference = np.abs(x[y == 1].mean(0) - x[y == 0].mean(0))
    return dict(cases=out, mean_difference=difference.tolist())


def recovery():
    """Largest cosine of each planted direction with a living decoder row, by NumPy."""
    r = np.random.default_rng(SEED + 2)
    true = r.normal(size=(6, 5)); dec = np.concatenate([true[:4] + 0.25 * r.normal(size=(4, 5)), r.normal(size=(5, 5)), true[5:]]); p = r.uniform(0.01, 0.3, 6)
    alive = np.ones(len(dec), bool); alive[-1] = False                   # the best partner of the last direction is dead
    unit = lambda m: m / np.linalg.norm(m, axis=1, keepdims=True)
    cos = unit(true) @ unit(dec).T; cos[:, ~alive] = -np.inf
    best, w = cos.max(1), p / p.sum()
    return dict(directions=true.tolist(), decoder=dec.tolist(), probability=p.tolist(), alive=alive.astype(int).tolist(), cosine=best.tolist(), latent=cos.argmax(1).tolist(),
                mean=float(best.mean()), share=float((best > 0.9).mean()), weighted_mean=float((best * w).sum()), weighted_share=float(((best > 0.9) * w).sum()))


def main():
    if PROBES:
        (OUT / 'probes.json').write_text(json.dumps(dict(probes=probes(), recovery=recovery())) + '\n'); return
    model = load_model('AutoModelForCausalLM', str(MODELS / MODEL), device='cpu', model_from_pretrained_kwargs=dict(attn_implementation='eager'), hook_names=[PLACE])
    ids = texts(model); x = rows(model, ids); golden = dict(model=MODEL, hook='layers.1', k=K, ids=ids.tolist(), cases={})
    for name, sae in saes(x, OUT).items():
        for excluded in (False, True):
            scalar, feature = run_evals(sae, Tokens(ids), model, ActivationScaler(), get_eval_everything_config(TEXTS, 1, 1), exclude_special_tokens=excluded)
            flat = {k: v for group in scalar.values() for k, v in group.items()}
            golden['cases'][f"{name}{', special tokens left out' if excluded else ''}"] = dict(metrics=flat, density=feature['feature_density'])
    special = torch.isin(ids, torch.tensor(SPECIAL))
    print({k: {m: round(v['metrics'][m], 4) for m in v['metrics']} for k, v in golden['cases'].items()}, 'special', int(special.sum()))
    save_file({'x': x}, OUT / 'rows.safetensors')
    (OUT / 'golden.json').write_text(json.dumps(golden) + '\n')


main()
