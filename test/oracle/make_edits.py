"""make_edits.py MODELS_DIR OUTDIR: what PyTorch makes of interventions on the tiny llama, by hooks in float32, and analyses of the unedited run. See README.md."""
import contextlib, json, os, sys
import torch, torch.nn.functional as F
from safetensors.torch import load_file, save_file
import golden, tiny
torch.set_num_threads(1)
MODEL, LAYER, SEED, LATENTS, K = 'llama', 1, 1, 128, 8
ROWS = [[0, 1, 2], [0, 2, 4, 8, 12, 15], [0, 10, 20]]                    # positions whose logits are kept, by prompt


def sublayer(p, point):
    """Module whose output (embed: whose input) a point is."""
    kind, _, i = point.partition('.')
    if kind == 'embed': return p.layers[0]
    L = p.layers[int(i)]
    return {'resid_post': L, 'mlp_out': L.mlp, 'attn_out': getattr(getattr(L, p.a), p.o), 'z': getattr(getattr(L, p.a), p.o)}[kind]


@contextlib.contextmanager
def at(m, point, f):
    """f(x [T, width], positions [T]) -> x in place of the point; z: input of o_proj. Works with a KV cache: positions count from the start of the text."""
    mod, start = sublayer(golden.Parts(m), point), [0]
    def apply(x):
        pos = torch.arange(x.shape[1]) + start[0]; start[0] += x.shape[1]
        return f(x[0], pos)[None]
    if point.startswith(('embed', 'z')): h = mod.register_forward_pre_hook(lambda _, a: (apply(a[0]), *a[1:]))
    else: h = mod.register_forward_hook(lambda _, a, o: (apply(o[0]), *o[1:]) if isinstance(o, tuple) else apply(o))
    try: yield
    finally: h.remove()


def pattern(m, layer, f):
    """f(probabilities [H, T, T]) -> probabilities, after the softmax, before they weigh the values."""
    p = golden.Parts(m); mine = getattr(p.layers[layer], p.a)
    def attend(old, module, q, k, v, *a, **kw):
        o, w = old(module, q, k, v, *a, **kw)
        if module is not mine: return o, w
        w = f(w[0].clone())[None]
        return (w @ v.repeat_interleave(p.heads // p.kv, 1)).transpose(1, 2).contiguous(), w
    return golden.attention(m, attend)


def sae_latents(S, x):
    pre = F.relu((x - S['b_dec']) @ S['encoder'].T + S['b_enc'])
    top = pre.topk(K, -1)
    return torch.zeros_like(pre).scatter_(-1, top.indices, top.values), pre


def set_rows(x, rows, v): x = x.clone(); x[rows] = v; return x


def edit(m, e, V):
    """Context manager of one edit of edits.json. V: the file's tensors."""
    op, point = e['op'], e['point']
    v = V.get(e.get('vector'))
    here = lambda pos: torch.isin(pos, torch.tensor(e['positions'])) if 'positions' in e else torch.ones_like(pos, dtype=torch.bool)
    S = {n[4:]: t for n, t in V.items() if n.startswith('sae.')}
    if point.startswith('pattern'):
        h = e['head']
        causal = lambda T: torch.tril(torch.ones(T, T)) / torch.arange(1, T + 1)[:, None]
        return pattern(m, int(point[8:]), lambda w: set_rows(w, h, 0 if op == 'zero' else causal(w.shape[1])))
    def zero_head(x, pos): hd = x.shape[1] // golden.Parts(m).heads; x = x.clone(); x[:, e['head'] * hd:(e['head'] + 1) * hd] = 0; return x
    def clamp(x, pos): a = sae_latents(S, x)[0][:, e['latent']]; return x + (e['value'] - a)[:, None] * S['W_dec'][e['latent']]
    return at(m, point, {
        'add': lambda x, pos: x + here(pos)[:, None] * v,
        'scale': lambda x, pos: x * e.get('factor', 1),
        'zero': zero_head if 'head' in e else lambda x, pos: torch.zeros_like(x),
        'project_out': lambda x, pos: x - (x @ v)[:, None] * v,
        'set': lambda x, pos: v.expand_as(x),
        'sae_reconstruct': lambda x, pos: sae_latents(S, x)[0] @ S['W_dec'] + S['b_dec'],
        'sae_clamp': clamp}[op])


@contextlib.contextmanager
def edits(m, es, V):
    with contextlib.ExitStack() as s:
        for e in es: s.enter_context(edit(m, e, V))
        yield


P = f'resid_post.{LAYER}'
CASES = {
 'add_positions': [dict(point=P, op='add', vector='v', positions=[2, 3, 4])],
 'scale': [dict(point='mlp_out.0', op='scale', factor=.5)],
 'project_out': [dict(point='resid_post.0', op='project_out', vector='u')],
 'zero_head': [dict(point='z.1', op='zero', head=2)],
 'zero_pattern': [dict(point='pattern.1', op='zero', head=1)],
 'uniform_pattern': [dict(point='pattern.1', op='uniform', head=0)],
 'mean_ablate': [dict(point='attn_out.1', op='set', vector='mean')],
 'two': [dict(point='resid_post.0', op='add', vector='v'), dict(point='mlp_out.1', op='zero')],
 'embed': [dict(point='embed', op='add', vector='v', positions=[0])],
 'sae_reconstruct': [dict(point=P, op='sae_reconstruct')],
 'sae_clamp': [dict(point=P, op='sae_clamp', latent=None, value=2.5)],
}
GENERATE = {'add': [dict(point=P, op='add', vector='v')], 'zero_mlp': [dict(point='mlp_out.0', op='zero')]}


def random_sae(width, x, seed):
    """A random top-k SAE whose k-th and next latent lie apart on all rows of x, so that the choice cannot hang on rounding. -> tensors, latent to clamp, gap"""
    for s in range(seed, seed + 2000):
        g = torch.Generator().manual_seed(s)
        r = lambda *n: torch.randn(*n, generator=g)
        S = {'encoder': r(LATENTS, width) / width ** .5, 'b_enc': r(LATENTS) * .1, 'W_dec': r(LATENTS, width) / K ** .5 / 2, 'b_dec': r(width) * .2}
        a, pre = sae_latents(S, x)
        t = pre.topk(K + 1, -1).values
        gap = (t[:, K - 1] - t[:, K]).min().item()
        on = (a > 0).sum(0)
        if gap > 2e-3 and t[:, K].min() > 0: return S, int((on - len(x) // 3).abs().argmin()), gap, s
    raise SystemExit('no seed')


@torch.no_grad()
def main(models, out):
    m = tiny.load(f'{models}/{MODEL}'); G = json.load(open(f'{models}/{MODEL}/golden.json')); T0 = load_file(f'{models}/{MODEL}/golden.safetensors')
    ids, L = [p['ids'] for p in G['prompts']], m.config.num_hidden_layers
    runs = [golden.capture(m, x) for x in ids]
    for k, r in enumerate(runs): assert torch.equal(r['logits'], T0[f'p{k}.logits'])
    S, latent, gap, sae_seed = random_sae(m.config.hidden_size, torch.cat([r[P] for r in runs]), SEED)
    CASES['sae_clamp'][0]['latent'] = latent
    for seed in range(SEED, SEED + 400):                                # v: the first that gives a clear greedy choice throughout
        g = torch.Generator().manual_seed(seed)
        n = lambda: torch.randn(m.config.hidden_size, generator=g)
        u = n()
        V = {'v': n() * runs[1][P].std() * .7, 'u': u / u.norm(), 'mean': torch.cat([r['attn_out.1'] for r in runs]).mean(0), **{'sae.' + k: t for k, t in S.items()}}
        made = {}
        for name, es in GENERATE.items():
            rows, gaps = zip(*(golden.greedy(m, x, 12, edits(m, es, V)) for x in ids))
            made[name] = list(rows), min(gaps)
        if min(gap for _, gap in made.values()) > .01 and all(t >= 4 for rows, _ in made.values() for r in rows for t in r): break
    T = dict(V)
    cases = []
    for name, es in CASES.items():
        change = []
        for k in (1, 2):
            x = golden.logits(m, ids[k], edits(m, es, V))
            T[f'p{k}.{name}.logits'] = x[ROWS[k]]
            change.append((x - runs[k]['logits']).abs().max().item())
        assert min(change) > .1, (name, change)                          # an edit that does nothing is no oracle
        cases.append({'name': name, 'edits': es, 'largest_change': [round(c, 3) for c in change]})
    for k in (1, 2): T[f'p{k}.sae.latents'] = sae_latents(S, runs[k][P])[0][ROWS[k]]
    for i in range(L - 1):                                              # of the last block they are the logits
        for k in (1, 2): T[f'p{k}.lens.{i}'] = m.lm_head(m.model.norm(runs[k][f'resid_post.{i}']))[ROWS[k]]

    # direct logit attribution in float64: the final RMS norm's scale frozen at the last token of prompt 1
    r, D = runs[1], torch.float64
    x, token = r[f'resid_post.{L - 1}'][-1].to(D), int(r['logits'][-1].argmax())
    toward = m.model.norm.weight.to(D) * m.lm_head.weight[token].to(D) / (x.pow(2).mean() + m.config.rms_norm_eps).sqrt()
    dla = {'embed': r['embed']}
    for i in range(L): dla |= {f'attn_add.{i}': r[f'attn_out.{i}'], f'mlp_add.{i}': r[f'mlp_out.{i}']}
    dla = {n: float(t[-1].to(D) @ toward) for n, t in dla.items()}
    assert abs(sum(dla.values()) - float(r['logits'][-1, token])) < 1e-5
    o = golden.Parts(m).layers[LAYER].self_attn.o_proj.weight.to(D)
    heads = [float(z @ w.T @ toward) for z, w in zip(r['z.1'][-1].to(D).split(m.config.head_dim), o.split(m.config.head_dim, 1))]
    assert abs(sum(heads) - dla['attn_add.1']) < 1e-5

    clean = runs[2]['logits'].to(D).log_softmax(-1)
    steered = golden.logits(m, ids[2], edits(m, GENERATE['add'], V)).to(D).log_softmax(-1)
    ce = -clean[:-1].gather(1, torch.tensor(ids[2][1:])[:, None])[:, 0]
    kl = (clean.exp() * (clean - steered)).sum(-1)
    os.makedirs(out, exist_ok=True)
    save_file({n: t.float().contiguous() for n, t in T.items()}, f'{out}/edits.safetensors')
    text = {'model': MODEL, 'prompts': 'those of golden.json of the model; one at a time, positions from 0', 'rows': {f'p{k}': ROWS[k] for k in (1, 2)}, 'seeds': {'vectors': seed, 'sae': sae_seed},
        'sae': {'k': K, 'least_gap_of_kth_latent': gap}, 'cases': cases,
        'generate': [{'name': n, 'edits': GENERATE[n], 'new': rows, 'smallest_top2_gap': round(gap, 4)} for n, (rows, gap) in made.items()],
        'attribution': {'prompt': 1, 'position': len(ids[1]) - 1, 'token': token, 'logit': float(r['logits'][-1, token]), 'parts': dla, f'heads.{LAYER}': heads},
        'cross_entropy': {'prompt': 2, 'of_tokens': '1 to the last, in nats', 'values': ce.tolist()},
        'kl': {'prompt': 2, 'of': 'KL(clean || edited) at every position, in nats', 'edits': GENERATE['add'], 'values': kl.tolist()}}
    os.chmod(f'{out}/edits.safetensors', 0o644)
    with open(f'{out}/edits.json', 'w') as f: f.write('{\n' + ',\n'.join(f' {json.dumps(k)}: {json.dumps(v)}' for k, v in text.items()) + '\n}\n')


if __name__ == '__main__': main(*sys.argv[1:])
