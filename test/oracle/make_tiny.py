"""make_tiny.py OUTDIR [--all] [name ...]: tiny random models, with goldens. --all: nothing left out of the goldens. See README.md."""
import sys, time
import torch
from transformers import (LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, MistralConfig, MistralForCausalLM,
    Gemma2Config, Gemma2ForCausalLM, Gemma3TextConfig, Gemma3ForCausalLM, Phi3Config, Phi3ForCausalLM, GPT2Config, GPT2LMHeadModel,
    GPTNeoXConfig, GPTNeoXForCausalLM, Olmo2Config, Olmo2ForCausalLM, PhiConfig, PhiForCausalLM)
import tiny
torch.set_num_threads(1)

ids = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, vocab_size=320)
small = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **ids)
gqa = dict(num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, **ids)
rope = lambda theta, **k: dict(rope_parameters={'rope_type': 'default', 'rope_theta': theta, **k})
MODELS = {
 'llama': lambda: dict(cls=LlamaForCausalLM, tok='gpt2', note='rope scaling llama3 (original context 16, so it bites); head_dim 16 with hidden 48; untied head',
    cfg=LlamaConfig(hidden_size=48, head_dim=16, intermediate_size=96, tie_word_embeddings=False, **gqa,
        **rope(500000., rope_type='llama3', factor=8., low_freq_factor=1., high_freq_factor=4., original_max_position_embeddings=16))),
 'qwen2': lambda: dict(cls=Qwen2ForCausalLM, tok='qwen', dtype='bfloat16', note='bf16 weights; q/k/v bias; tied embedding',
    cfg=Qwen2Config(hidden_size=64, intermediate_size=96, tie_word_embeddings=True, **gqa, **rope(1000000.))),
 'qwen3': lambda: dict(cls=Qwen3ForCausalLM, tok='qwen', legacy=False, note='head_dim 16 with hidden 48 (4 x 16 != 48); q_norm/k_norm per head; config.json in transformers 5 style (rope_parameters, dtype)',
    cfg=Qwen3Config(hidden_size=48, intermediate_size=96, head_dim=16, tie_word_embeddings=False, **gqa, **rope(1000000.))),
 'mistral': lambda: dict(cls=MistralForCausalLM, tok='spm', shard='130KB', note='sharded (model.safetensors.index.json); sliding window null',
    cfg=MistralConfig(hidden_size=48, intermediate_size=96, sliding_window=None, tie_word_embeddings=False, **gqa, **rope(10000.))),
 'gemma2': lambda: dict(cls=Gemma2ForCausalLM, tok='spm', dtype='bfloat16', note='bf16; embedding times sqrt(hidden); norm weight is 1 + w; post-norms; attention cap 5, final cap 8 (small, so they bite); query_pre_attn_scalar 24; sliding window 4096 (never reached)',
    cfg=Gemma2Config(hidden_size=48, intermediate_size=96, head_dim=16, query_pre_attn_scalar=24, attn_logit_softcapping=5., final_logit_softcapping=8.,
        sliding_window=4096, **gqa, **rope(10000.))),
 'gemma3': lambda: dict(cls=Gemma3ForCausalLM, tok='spm', dtype='bfloat16', note='bf16; layers sliding, sliding, full with window 8 (reached by prompt 2); rope theta 10000 in sliding layers, 1000000 in full ones; q/k norm; post-norms',
    cfg=Gemma3TextConfig(hidden_size=48, intermediate_size=96, head_dim=16, query_pre_attn_scalar=24, sliding_window=8, **gqa,
        layer_types=['sliding_attention', 'sliding_attention', 'full_attention'],
        rope_parameters={'full_attention': {'rope_type': 'default', 'rope_theta': 1000000.}, 'sliding_attention': {'rope_type': 'default', 'rope_theta': 10000.}})),
 'phi3': lambda: dict(cls=Phi3ForCausalLM, tok='spm', dtype='float16', note='fp16; fused qkv_proj and gate_up_proj',
    cfg=Phi3Config(hidden_size=64, intermediate_size=96, original_max_position_embeddings=256, tie_word_embeddings=False, **gqa, **rope(10000.))),
 'gpt2': lambda: dict(cls=GPT2LMHeadModel, tok='gpt2', base_only=True, note='hub naming: no "transformer." prefix; Conv1D weights [in, out]; learned positions; LayerNorm with bias; tied embedding',
    cfg=GPT2Config(n_positions=256, n_embd=48, n_layer=3, n_head=4, n_inner=96, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0, vocab_size=320)),
 'neox': lambda: dict(cls=GPTNeoXForCausalLM, tok='gpt2', dtype='float16', note='Pythia-like, fp16; parallel residual; fused query_key_value laid out per head [q k v]; rotary on 1/4 of head_dim',
    cfg=GPTNeoXConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=256, use_parallel_residual=True,
        rotary_pct=.25, tie_word_embeddings=False, **ids)),
 'olmo2': lambda: dict(cls=Olmo2ForCausalLM, tok='gpt2', dtype='bfloat16', note='bf16; no pre-norm: norms after attention and after MLP, before the residual add; q/k norm over all heads at once',
    cfg=Olmo2Config(hidden_size=48, intermediate_size=96, tie_word_embeddings=False, **gqa, **rope(500000.))),
 # two blocks each, for what the ten above lack; a new row goes to the end, as the place gives the seed
 'phi': lambda: dict(cls=PhiForCausalLM, tok='gpt2', dtype='float16', note='Phi-1/2-like, fp16; parallel block with one LayerNorm; biases everywhere, in the head too; gelu_new; rotary on half of each head of 16',
    cfg=PhiConfig(**small | dict(num_attention_heads=2, num_key_value_heads=2, intermediate_size=128), hidden_act='gelu_new', max_position_embeddings=256, tie_word_embeddings=False, **rope(10000., partial_rotary_factor=.5))),
 'llama_linear': lambda: dict(cls=LlamaForCausalLM, tok='gpt2', dtype='bfloat16', note='rope scaling linear, factor 4; attention_bias and mlp_bias; tied embedding; bf16',
    cfg=LlamaConfig(**small, max_position_embeddings=256, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, **rope(10000., rope_type='linear', factor=4.))),
 'qwen2_yarn': lambda: dict(cls=Qwen2ForCausalLM, tok='qwen', dtype='bfloat16', legacy=False, note='rope type yarn, factor 4, original context 16, all else by default; theta 100, so that a frequency falls on the ramp; config.json in transformers 5 style; bf16, tied',
    cfg=Qwen2Config(**small | dict(num_attention_heads=2, num_key_value_heads=1), max_position_embeddings=64, tie_word_embeddings=True,
        **rope(100., rope_type='yarn', factor=4., original_max_position_embeddings=16))),
 'phi3_longrope': lambda: dict(cls=Phi3ForCausalLM, tok='gpt2', dtype='float16', note='rope type longrope, original context 16: prompts 0 (3 tokens) and 1 (16) take the short factors, prompt 2 (21) the long ones; rotary on 3/4 of each head of 16; fp16',
    cfg=Phi3Config(**small | dict(num_attention_heads=2, num_key_value_heads=1), max_position_embeddings=64, original_max_position_embeddings=16, tie_word_embeddings=False,
        **rope(10000., rope_type='longrope', partial_rotary_factor=.75, short_factor=[1., 1.05, 1.1, 1.3, 1.6, 2.], long_factor=[1.1, 1.5, 2.2, 3.5, 5., 8.], original_max_position_embeddings=16))),
 'mistral_window': lambda: dict(cls=MistralForCausalLM, tok='spm', dtype='bfloat16', note='sliding window 8 in both blocks, reached by prompts 1 and 2; bf16',
    cfg=MistralConfig(**small, max_position_embeddings=256, sliding_window=8, tie_word_embeddings=True, **rope(10000.))),
}
if __name__ == '__main__':
    t, args = time.time(), [a for a in sys.argv[1:] if a != '--all']
    for n in args[1:] or MODELS:
        tiny.make(args[0], n, seed=100 * (1 + list(MODELS).index(n)), keep='all' if '--all' in sys.argv else 'edits' if n == 'llama' else 'slim', **MODELS[n]())
    print(f'{time.time() - t:.0f} s')
