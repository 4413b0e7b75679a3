"""make_features.py MODELS_DIR OUTDIR: scores of labels by scikit-learn and statsmodels, ReasonScore by NumPy, W_dec·W_U by PyTorch. See README.md."""
import json, re, sys
from pathlib import Path
import numpy as np, torch
import statsmodels.api as sm
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.multitest import multipletests
from transformers import AutoModelForCausalLM
torch.set_num_threads(1); torch.set_grad_enabled(False)
MODELS, OUT = Path(sys.argv[1]), Path(sys.argv[2])
SEED, LATENTS, TOP = 7, 4, 4
rng = np.random.default_rng(SEED)


def labels():
    """Sparse scores with ties on sentences of documents; scores and labels lean on the document, so that it matters that they go together."""
    cases = []
    for n, D, density in ((90, 9, 0.5), (240, 16, 0.2), (160, 12, 0.9)):
        document = np.sort(rng.integers(0, D, n)); lean = rng.normal(size=D)[document]
        positive = (rng.normal(size=n) + lean > 0.6).astype(int)
        score = np.where(rng.random(n) < density, np.ceil(4 * np.exp(0.5 * rng.normal(size=n) + 0.4 * lean + 0.4 * positive)), 0)
        rank, y = stats.rankdata(score), sm.add_constant(positive.astype(float))
        slope = lambda rows: sm.OLS(rank[rows], y[rows]).fit().params[1]
        whole, names = slope(np.full(n, True)), np.unique(document)
        error = np.sqrt((len(names) - 1) / len(names) * sum((slope(document != d) - whole) ** 2 for d in names))   # jackknife over documents
        u = stats.mannwhitneyu(score[positive == 1], score[positive == 0]).statistic / (positive.sum() * (1 - positive).sum())
        assert abs(u - roc_auc_score(positive, score)) < 1e-12
        cases.append(dict(document=document.tolist(), positive=positive.tolist(), score=score.astype(int).tolist(),
                          auroc=roc_auc_score(positive, score), averagePrecision=average_precision_score(positive, score), t=whole / error, fires=len(np.unique(document[score > 0]))))
    z = [0, 0.3, -1.7, 2.4, 3.4, 3.6, -5, 9, 20]
    p = np.round(rng.random(12) ** 3, 4); p[3] = p[7]
    student = [(t, v, stats.norm.isf(stats.t.sf(t, v))) for v in (4, 9, 24, 99) for t in (0.5, 2, 5, 12)]
    return dict(cases=cases, student=student, normal=dict(z=z, p=(2 * stats.norm.sf(np.abs(z))).tolist()), adjusted=dict(p=p.tolist(), q=multipletests(p, method='fdr_bh')[1].tolist()))


def reason():
    """ReasonScore, dense and word by word."""
    groups = {'wait': ['wait', 'Wait'], 'let me': ['let me', 'Let me'], 'But': ['But'], 'hmm': ['hmm', 'Hmm'], 'never': ['nowhere']}
    texts = ['<s>So it is 5. Wait, no: but let me check again; await that.', '<s>But hmm, the box waits. Let me see, wait. But', '<s>Nothing of it here at all, 7 and 8']
    F, alpha, left, right = 9, 0.7, 1, 2
    rows, inside, member = [], [], []
    for text in texts:
        tokens = [(m.start(), m.end()) for m in re.finditer(r'<s>|\s?\w+|\s?[^\w\s]', text)]
        marks = np.zeros((len(tokens), len(groups)), bool)
        for g, words in enumerate(groups.values()):
            for word in words:
                for m in re.finditer(rf'\b{re.escape(word)}\b', text):
                    hit = [t for t, (a, b) in enumerate(tokens) if a < m.end() and b > m.start()]
                    marks[max(0, hit[0] - left):hit[-1] + right + 1, g] = True
        for t, span in enumerate(tokens):
            rows.append(span)
            member.append(marks[t]); inside.append(-1 if t == 0 else int(marks[t].any()))           # <s> does not count
    member, inside = np.array(member), np.array(inside)
    a = np.where(rng.random((len(rows), F)) < 0.4, np.round(rng.random((len(rows), F)) * 4, 2), 0); a[:, F - 1] = 0
    norms = np.round(0.5 + rng.random(F), 2)
    v = a * norms
    plus, minus = v[inside == 1].mean(0), v[inside == 0].mean(0)
    mu = np.stack([v[member[:, g] & (inside >= 0)].mean(0) if (member[:, g] & (inside >= 0)).any() else np.zeros(F) for g in range(len(groups))], 1)
    share = mu / np.maximum(mu.sum(1, keepdims=True), 1e-300)
    entropy = -np.where(share > 0, share * np.log(np.maximum(share, 1e-300)), 0).sum(1) / np.log(len(groups))
    scores = plus / plus.sum() * entropy ** alpha - minus / minus.sum()
    split = np.cumsum([0] + [len(list(re.finditer(r'<s>|\s?\w+|\s?[^\w\s]', text))) for text in texts])
    return dict(groups=groups, texts=texts, tokens=[rows[a:b] for a, b in zip(split, split[1:])], alpha=alpha, window=[left, right], norms=norms.tolist(),
                activations=a.tolist(), scores=scores.tolist(), entropy=entropy.tolist(), inside=int((inside == 1).sum()), outside=int((inside == 0).sum()))


def logits():
    """Of random decoder rows: change of each logit with the final norm's scale left out, from the modules themselves."""
    out = {}
    for name in ('llama', 'qwen2', 'gemma2', 'gpt2', 'phi', 'neox', 'gemma3'):
        model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32, attn_implementation='eager')
        core = getattr(model, 'model', None) or getattr(model, 'transformer', None) or model.gpt_neox
        norm = next(m for n, m in core.named_children() if n in ('norm', 'ln_f', 'final_layernorm', 'final_layer_norm'))
        head = model.get_output_embeddings(); width = head.weight.shape[1]
        w = torch.tensor(np.round(rng.normal(size=(LATENTS, width)), 2), dtype=torch.float32)
        # the norm is linear once its scale is held
        layer = isinstance(norm, torch.nn.LayerNorm)
        centred = w - w.mean(1, keepdim=True) if layer else w
        scale = (centred.var(1, unbiased=False, keepdim=True) if layer else w.pow(2).mean(1, keepdim=True)) + (norm.eps if layer else getattr(norm, 'variance_epsilon', getattr(norm, 'eps', 0)))
        bias = norm.bias if layer else 0
        change = (norm(w) - bias) * scale.sqrt() @ head.weight.T                                       # the module's own norm, its scale undone
        top, bottom = change.topk(TOP, 1), (-change).topk(TOP, 1)
        assert (change.sort(1).values.diff(dim=1)[:, [*range(TOP), *range(-TOP, 0)]] > 1e-4).all(), name
        out[name] = dict(decoder=w.tolist(), top=top.indices.tolist(), topValue=top.values.tolist(), bottom=bottom.indices.tolist(), bottomValue=(-bottom.values).tolist())
    return out


def short(x):
    if isinstance(x, float): return float(f'{x:.9g}')
    if isinstance(x, dict): return {k: short(v) for k, v in x.items()}
    return [short(v) for v in x] if isinstance(x, (list, tuple)) else x


OUT.mkdir(parents=True, exist_ok=True)
(OUT / 'golden.json').write_text(json.dumps(short(dict(labels=labels(), reason=reason(), logits=logits())), separators=(',', ':')))
