"""make_rope.py OUTDIR: inverse frequencies and the factor of cos and sin, as transformers computes them in float32, for every scaling of positions. See README.md."""
import json, os, sys
from transformers import LlamaConfig, PhiConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.phi.modeling_phi import PhiRotaryEmbedding
import transformers
transformers.utils.logging.set_verbosity_error()

short, long = [1., 1.05, 1.1, 1.3, 1.6, 2., 2.5, 3.], [1.1, 1.5, 2.2, 3.5, 5., 8., 13., 21.]
yarn = dict(rope_type='yarn', rope_theta=10000., factor=4., original_max_position_embeddings=64)
lr = dict(rope_type='longrope', rope_theta=10000., short_factor=short, long_factor=long, original_max_position_embeddings=64)
# name: rope_parameters, then max_position_embeddings, head_dim and the length of the text where they are not 256, 16 and "any"
CASES = {
 'default': (dict(rope_type='default', rope_theta=10000.),),
 'default, half of the head': (dict(rope_type='default', rope_theta=10000., partial_rotary_factor=.5),),
 'linear': (dict(rope_type='linear', rope_theta=10000., factor=4.),),
 'llama3 as published': (dict(rope_type='llama3', rope_theta=500000., factor=8., low_freq_factor=1., high_freq_factor=4., original_max_position_embeddings=8192), 131072, 128),
 'llama3, short context': (dict(rope_type='llama3', rope_theta=500000., factor=8., low_freq_factor=1., high_freq_factor=4., original_max_position_embeddings=16),),
 'yarn': (yarn,),
 'yarn as Qwen2.5 publishes it': (yarn | dict(rope_theta=1e6, original_max_position_embeddings=32768), 131072, 128),
 'yarn, theta 100': (yarn | dict(rope_theta=100.),),
 'yarn, one point ramp': (yarn | dict(beta_fast=1e-9, beta_slow=1e-9),),
 'yarn, betas': (yarn | dict(beta_fast=4., beta_slow=.25),),
 'yarn, not truncated': (yarn | dict(beta_fast=4., beta_slow=.25, truncate=False),),
 'yarn, mscale': (yarn | dict(factor=40., mscale=.707, mscale_all_dim=.5),),
 'yarn, mscale alone': (yarn | dict(mscale=.707),),
 'yarn, attention_factor': (yarn | dict(attention_factor=1.25),),
 'yarn, half of the head': (yarn | dict(partial_rotary_factor=.5),),
 'yarn, factor 1': (yarn | dict(factor=1.),),
 'longrope, 64 tokens': (lr, 256, 16, 64),
 'longrope, 65 tokens': (lr, 256, 16, 65),
 'longrope, factor': (lr | dict(factor=32.), 256, 16, 65),
 'longrope, attention_factor': (lr | dict(attention_factor=1.19), 256, 16, 65),
 'longrope, not longer than before': (lr, 64, 16, 64),
 'longrope, 3/4 of the head': (lr | dict(partial_rotary_factor=.75, short_factor=short[:6], long_factor=long[:6]), 256, 16, 65),
 'dynamic, 256 tokens': (dict(rope_type='dynamic', rope_theta=10000., factor=4.), 256, 16, 256),
 'dynamic, 400 tokens': (dict(rope_type='dynamic', rope_theta=10000., factor=4.), 256, 16, 400),
}

if __name__ == '__main__':
    out = []
    for name, (p, context, hd, length) in ((n, (*c, *(256, 16, None)[len(c) - 1:])) for n, c in CASES.items()):
        kind, size = p['rope_type'], dict(hidden_size=4 * hd, num_attention_heads=4, max_position_embeddings=context)
        if kind == 'default': f, a = PhiRotaryEmbedding.compute_default_rope_parameters(PhiConfig(**size, rope_parameters={'partial_rotary_factor': 1.} | p))
        else: f, a = ROPE_INIT_FUNCTIONS[kind](LlamaConfig(**size, head_dim=hd, rope_parameters=dict(p)), seq_len=length)
        out.append({'name': name, 'rope_parameters': p, 'max_position_embeddings': context, 'head_dim': hd, 'length': length, 'inv_freq': f.tolist(), 'scaling': float(a)})
    os.makedirs(sys.argv[1], exist_ok=True)
    with open(f'{sys.argv[1]}/golden.json', 'w') as o: o.write('[\n' + ',\n'.join(json.dumps(x) for x in out) + '\n]\n')
