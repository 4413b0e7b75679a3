"""make_saes.py OUTDIR: a small SAE checkpoint of each format with its results. See saes/README.md."""
import json, sys
from pathlib import Path
import numpy as np
import torch
from safetensors.numpy import save_file

D, F, K, N = 8, 24, 4, 16
out = Path(sys.argv[1])


def weights(seed):
    """Decoder rows of norms 0.7 to 1.3, biases that are not zero, thresholds some of which are negative."""
    r = np.random.default_rng(seed)
    f = lambda *shape, scale=1.0: (scale * r.standard_normal(shape)).astype(np.float32)
    dec = f(F, D)
    dec *= (r.uniform(0.7, 1.3, (F, 1)) / np.linalg.norm(dec, axis=1, keepdims=True)).astype(np.float32)
    return dict(W_enc=f(F, D, scale=D**-0.5), b_enc=f(F, scale=0.2), W_dec=dec, b_dec=f(D, scale=0.3), threshold=f(F, scale=0.2) + np.float32(0.3),
                W_skip=f(D, D, scale=0.3), x=f(N, D, scale=2.0))


def act(pre, kind, threshold=None):
    """v in float64, and how far the nearest choice is from turning out otherwise."""
    relu = np.maximum(pre, 0)
    if kind == 'topk':
        order = np.argsort(-relu, axis=1, kind='stable')
        ranked = np.take_along_axis(relu, order, 1)
        v = np.zeros_like(pre)
        np.put_along_axis(v, order[:, :K], ranked[:, :K], 1)
        return v, np.min(ranked[:, K - 1] - ranked[:, K])
    if kind == 'groupmax':
        groups = relu.reshape(len(pre), K, F // K)
        v = np.where(groups == groups.max(2, keepdims=True), groups, 0).reshape(pre.shape)
        two = np.sort(groups, axis=2)
        return v, np.min((two[:, :, -1] - two[:, :, -2])[two[:, :, -1] > 0])
    return relu * (pre > threshold), min(np.abs(pre - threshold).min(), np.abs(pre).min())


def golden(folder, w, v, recon, margin, by, **more):
    assert margin > 1e-4, (folder, margin)
    most = int((v > 0).sum(1).max())
    order = np.argsort(-v, axis=1, kind='stable')[:, :most]
    value = np.take_along_axis(v, order, 1).astype(np.float32)
    save_file(dict(x=w['x'], recon=recon.astype(np.float32), acts_indices=np.where(value > 0, order, -1).astype(np.int32), acts_values=value),
              folder / 'golden.safetensors')
    (folder / 'golden.json').write_text(json.dumps(dict(by=by, margin=round(float(margin), 6), **more), indent=1) + '\n')


def case(name, seed):
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder, weights(seed)


def plain(w, kind, subtract, threshold=None):
    x = w['x'].astype(np.float64) - (w['b_dec'] if subtract else 0)
    v, margin = act(x @ w['W_enc'].T.astype(np.float64) + w['b_enc'], kind, threshold)
    return v, v @ w['W_dec'].astype(np.float64) + w['b_dec'], margin


NUMPY = f'NumPy {np.__version__}, float64'

# sparsify: a groupmax transcoder with a skip connection
folder, w = case('sparsify', 1)
save_file({'encoder.weight': w['W_enc'], 'encoder.bias': w['b_enc'], 'W_dec': w['W_dec'], 'b_dec': w['b_dec'], 'W_skip': w['W_skip']}, folder / 'sae.safetensors')
(folder / 'cfg.json').write_text(json.dumps(dict(activation='groupmax', expansion_factor=32, normalize_decoder=True, num_latents=F, k=K, multi_topk=False,
                                                 skip_connection=True, transcode=True, d_in=D)))
v, recon, margin = plain(w, 'groupmax', False)
golden(folder, w, v, recon + w['x'].astype(np.float64) @ w['W_skip'].T, margin, NUMPY)

# Gemma Scope, stored and deflated
for name, save in ('gemma_scope', np.savez), ('gemma_scope_deflated', np.savez_compressed):
    folder, w = case(name, 2)
    save(folder / 'params.npz', W_enc=np.ascontiguousarray(w['W_enc'].T), W_dec=w['W_dec'], b_enc=w['b_enc'], b_dec=w['b_dec'], threshold=w['threshold'])
    golden(folder, w, *plain(w, 'jumprelu', False, w['threshold']), NUMPY)

# Llama Scope R1, half of it in bfloat16: what is stored is widened first
folder, w = case('llama_scope', 3)
half = torch.from_numpy(w['W_enc']).bfloat16()
w['W_enc'] = half.float().numpy()
log = np.log(np.abs(w['threshold'])).astype(np.float32)
from safetensors.torch import save_file as save_tensors
save_tensors({'encoder.weight': half, 'encoder.bias': torch.from_numpy(w['b_enc']), 'decoder.weight': torch.from_numpy(w['W_dec'].T.copy()),
              'decoder.bias': torch.from_numpy(w['b_dec']), 'log_jumprelu_threshold': torch.from_numpy(log)}, folder / 'sae_weights.safetensors')
(folder / 'config.json').write_text(json.dumps(dict(sae_type='sae', hook_point_in='blocks.15.hook_resid_post', hook_point_out='blocks.15.hook_resid_post', act_fn='jumprelu',
                                                    d_model=D, expansion_factor=F // D, use_decoder_bias=True, apply_decoder_bias_to_pre_encoder=False, norm_activation='inference')))
golden(folder, w, *plain(w, 'jumprelu', False, np.exp(log.astype(np.float64))), NUMPY)

# dictionary_learning's AutoEncoderTopK, whose encoder is the decoder's transpose in memory; in both containers of torch.save
for name, new in ('dictionary_learning', True), ('dictionary_legacy', False):
    folder, w = case(name, 4)
    state = {'b_dec': torch.from_numpy(w['b_dec']), 'k': torch.tensor(K, dtype=torch.int32), 'threshold': torch.tensor(-1.0),
             'decoder.weight': torch.from_numpy(w['W_dec'].T.copy()), 'encoder.weight': torch.from_numpy(w['W_enc'].T.copy()).T, 'encoder.bias': torch.from_numpy(w['b_enc'])}
    torch.save(state, folder / 'ae.pt', _use_new_zipfile_serialization=new)
    (folder / 'config.json').write_text(json.dumps(dict(trainer=dict(trainer_class='TopKTrainer', dict_class='AutoEncoderTopK', activation_dim=D, dict_size=F, k=K,
                                                                     layer=3, lm_name='EleutherAI/pythia-70m-deduped', submodule_name='resid_post_layer_3'))))
    golden(folder, w, *plain(w, 'topk', True), NUMPY)

# SAELens 6, by itself: top-k of rescaled activations, rows rescaled to constant norm; and the same weights as a flat version 5
import sae_lens
from sae_lens import TopKSAE, TopKSAEConfig
torch.set_num_threads(1)
for name, normalize, rescale in ('saelens', 'constant_norm_rescale', True), ('saelens_5', 'none', False):
    folder, w = case(name, 5)
    sae = TopKSAE(TopKSAEConfig(d_in=D, d_sae=F, k=K, normalize_activations=normalize, rescale_acts_by_decoder_norm=rescale))
    with torch.no_grad():
        for parameter, value in ('W_enc', w['W_enc'].T.copy()), ('b_enc', w['b_enc']), ('W_dec', w['W_dec']), ('b_dec', w['b_dec']):
            getattr(sae, parameter).copy_(torch.from_numpy(value))
        sae.cfg.metadata.hook_name = 'blocks.3.hook_resid_post'
        sae.save_model(folder)
        x = torch.from_numpy(w['x'])
        v, recon = sae.encode(x).numpy(), sae(x).numpy()
        scaled = w['x'] * np.sqrt(D) / np.linalg.norm(w['x'], axis=1, keepdims=True) if rescale else w['x']
        pre = (scaled - w['b_dec']) @ w['W_enc'].T + w['b_enc']
        margin = act(pre * (np.linalg.norm(w['W_dec'], axis=1) if rescale else 1), 'topk')[1]
    if name == 'saelens_5':
        (folder / 'cfg.json').write_text(json.dumps(dict(architecture='standard', d_in=D, d_sae=F, activation_fn_str='topk', activation_fn_kwargs=dict(k=K), apply_b_dec_to_input=True,
                                                         hook_name='blocks.3.hook_resid_post', hook_layer=3, normalize_activations=False, dtype='torch.float32', sae_lens_training_version='5.4.2')))
    golden(folder, w, v, recon, margin, f'sae-lens {sae_lens.__version__}')

# SAELens 6, by itself: a transcoder that tells what it predicts
from sae_lens import Transcoder, TranscoderConfig
folder, w = case('saelens_transcoder', 7)
sae = Transcoder(TranscoderConfig(d_in=D, d_sae=F, d_out=D, apply_b_dec_to_input=False))
with torch.no_grad():
    for parameter, value in ('W_enc', w['W_enc'].T.copy()), ('b_enc', w['b_enc']), ('W_dec', w['W_dec']), ('b_dec', w['b_dec']):
        getattr(sae, parameter).copy_(torch.from_numpy(value))
    sae.cfg.metadata.hook_name, sae.cfg.metadata.hook_name_out = 'blocks.3.hook_resid_mid', 'blocks.3.hook_mlp_out'
    sae.save_model(folder)
    x = torch.from_numpy(w['x'])
    v, recon = sae.encode(x).numpy(), sae(x).numpy()
    margin = np.abs(w['x'] @ w['W_enc'].T + w['b_enc']).min()
golden(folder, w, v, recon, margin, f'sae-lens {sae_lens.__version__}')
