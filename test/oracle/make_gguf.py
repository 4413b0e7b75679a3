"""make_gguf.py [OUTDIR]: GGUF files written by the gguf package, and what it says they hold. See gguf/README.md.

    quants.gguf          one tensor a type, quants.safetensors: gguf.dequantize of each
    (llama-f32.gguf)     models/llama as llama.cpp stores it: q/k rows interleaved, rope_freqs.weight for its llama3 scaling;
                         only its sha256 is kept, in golden.json: ../ggufllama.ts makes the same bytes at test time
    qwen2-mixed.gguf     models/qwen2 in six types, golden.json: sha256 of each tensor, dequantised, under its Hugging Face name
    spm.gguf             no tensors, a SentencePiece vocabulary: pieces with scores, golden.json: texts with llama.cpp's way of merging
"""
import hashlib, json, math, os, re, struct, sys
import numpy as np, gguf
from gguf import GGMLQuantizationType as Q, GGUFWriter, TokenType

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, 'gguf')
os.makedirs(OUT, exist_ok=True)
rng = np.random.default_rng(0)
golden = {'gguf': '0.19.0', 'numpy': np.__version__}


def save(path, tensors):
    """safetensors, float32: its package is not needed for so little"""
    header, at = {}, 0
    for k, v in tensors.items():
        header[k] = {'dtype': 'F32', 'shape': list(v.shape), 'data_offsets': [at, at + v.nbytes]}; at += v.nbytes
    text = json.dumps(header).encode(); text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for v in tensors.values(): f.write(np.ascontiguousarray(v, '<f4').tobytes())


def load(path):
    raw = open(path, 'rb').read(); n = struct.unpack('<Q', raw[:8])[0]
    out = {}
    for k, v in json.loads(raw[8:8 + n]).items():
        if k == '__metadata__': continue
        data = raw[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]]
        if v['dtype'] == 'F32': x = np.frombuffer(data, '<f4')
        else: assert v['dtype'] == 'BF16'; x = (np.frombuffer(data, '<u2').astype(np.uint32) << 16).view(np.float32)
        out[k] = x.reshape(v['shape'])
    return out


def close(w):
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


# 1. one tensor a type. K-quants: random bytes, but scales that are ordinary numbers (gguf-py cannot quantise to them)
w = GGUFWriter(f'{OUT}/quants.gguf', 'test')
w.add_custom_alignment(64)
w.add_array('test.nested', [[1, 2], [3]]); w.add_bool('test.bool', True); w.add_float64('test.double', 0.1); w.add_int64('test.long', -2**60)
want = {}
for q in (Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0):
    x = rng.standard_normal((3, 96), np.float32) * np.float32(10.0) ** rng.integers(-6, 3, (3, 1)).astype(np.float32)
    x[2, :32] = 0
    w.add_tensor(q.name, gguf.quantize(x, q) if q != Q.F32 else x, raw_dtype=q)
    want[q.name] = gguf.dequantize(gguf.quantize(x, q), q).astype(np.float32)
scales = {Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
for q, places in scales.items():
    b = rng.integers(0, 256, (2, 2, gguf.GGML_QUANT_SIZES[q][1]), np.uint8)  # 2 rows of 2 blocks
    for at in places:
        d = (rng.standard_normal((2, 2)) * 10.0 ** rng.integers(-5, 1, (2, 2))).astype(np.float16)
        b[:, :, at:at + 2] = d[..., None].view(np.uint8)
    b = b.reshape(2, -1)
    w.add_tensor(q.name, b, raw_dtype=q)
    want[q.name] = gguf.dequantize(b, q)
close(w)
save(f'{OUT}/quants.safetensors', want)


# 2. two tiny models, as llama.cpp's converter writes them
def vocabulary(w, folder, pre):
    t = json.load(open(f'{folder}/tokenizer.json')); added = {x['id']: x for x in t['added_tokens']}
    names = dict((i, s) for s, i in t['model']['vocab'].items()) | {i: x['content'] for i, x in added.items()}
    w.add_tokenizer_model('gpt2'); w.add_tokenizer_pre(pre)
    w.add_token_list([names[i] for i in range(len(names))])
    w.add_token_types([TokenType.CONTROL if i in added else TokenType.NORMAL for i in range(len(names))])
    w.add_token_merges([m if isinstance(m, str) else ' '.join(m) for m in t['model']['merges']])
    c = json.load(open(f'{folder}/config.json'))
    w.add_bos_token_id(c['bos_token_id']); w.add_eos_token_id(c['eos_token_id']); w.add_pad_token_id(c['pad_token_id']); w.add_add_bos_token(False)
    w.add_chat_template(json.load(open(f'{folder}/tokenizer_config.json'))['chat_template'])


NAMES = {'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output', 'mlp.gate_proj': 'ffn_gate',
         'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down', 'input_layernorm': 'attn_norm', 'post_attention_layernorm': 'ffn_norm'}
TOP = {'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', 'lm_head': 'output'}


def gguf_name(name):
    stem, kind = name.rsplit('.', 1)
    if stem in TOP: return f'{TOP[stem]}.{kind}'
    i, part = stem.removeprefix('model.layers.').split('.', 1)
    return f'blk.{i}.{NAMES[part]}.{kind}'


def model(file, family, pre, kind_of):
    folder = os.path.join(HERE, 'models', family)
    c = json.load(open(f'{folder}/config.json')); W = load(f'{folder}/model.safetensors')
    w = GGUFWriter(f'{OUT}/{file}', family)
    w.add_name(f'Tiny {family}')
    w.add_block_count(c['num_hidden_layers']); w.add_context_length(c['max_position_embeddings']); w.add_embedding_length(c['hidden_size'])
    w.add_feed_forward_length(c['intermediate_size']); w.add_head_count(c['num_attention_heads']); w.add_head_count_kv(c['num_key_value_heads'])
    w.add_layer_norm_rms_eps(c['rms_norm_eps']); w.add_rope_freq_base(c['rope_theta']); w.add_vocab_size(c['vocab_size'])
    hd = c.get('head_dim') or c['hidden_size'] // c['num_attention_heads']
    w.add_key_length(hd); w.add_value_length(hd); w.add_rope_dimension_count(hd)
    vocabulary(w, folder, pre)
    s = c.get('rope_scaling')
    if s and s['rope_type'] == 'llama3':
        wavelength = 2 * math.pi * c['rope_theta'] ** (np.arange(0, hd, 2) / hd)
        smooth = (s['original_max_position_embeddings'] / wavelength - s['low_freq_factor']) / (s['high_freq_factor'] - s['low_freq_factor'])
        f = np.where(smooth >= 1, 1, np.where(smooth <= 0, s['factor'], 1 / ((1 - smooth) / s['factor'] + smooth)))
        w.add_tensor('rope_freqs.weight', f.astype(np.float32))
    sums = {}
    for name, x in W.items():
        q = kind_of(name, x)
        y = x
        if family == 'llama' and ('q_proj' in name or 'k_proj' in name):
            h = c['num_attention_heads'] if 'q_proj' in name else c['num_key_value_heads']
            y = x.reshape(h, 2, x.shape[0] // h // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
        y = np.ascontiguousarray(y, np.float32)
        b = y if q == Q.F32 else gguf.quantize(y, q)
        w.add_tensor(gguf_name(name), b, raw_dtype=q)
        sums[name] = [q.name, hashlib.sha256((y if q == Q.F32 else gguf.dequantize(b, q)).astype('<f4').tobytes()).hexdigest()]
    close(w)
    return sums


model('llama-f32.gguf', 'llama', 'gpt-2', lambda name, x: Q.F32)
golden['llama-f32'] = hashlib.sha256(open(f'{OUT}/llama-f32.gguf', 'rb').read()).hexdigest()
os.remove(f'{OUT}/llama-f32.gguf')
by_part = {'q_proj': Q.Q4_0, 'k_proj': Q.Q4_1, 'v_proj': Q.Q5_0, 'o_proj': Q.Q5_1, 'gate_proj': Q.BF16, 'up_proj': Q.F16}
golden['qwen2-mixed'] = model('qwen2-mixed.gguf', 'qwen2', 'qwen2',
    lambda name, x: Q.F32 if x.ndim == 1 else next((q for part, q in by_part.items() if part in name), Q.Q8_0))


# 3. SentencePiece: pieces with scores; merged as llama.cpp does it, always the pair of best score, the leftmost of equals
TEXT = re.search('TEXT = """(.*?)"""', open(os.path.join(HERE, 'tiny.py')).read(), re.S)[1] + ' the theory of the other thing; where there is, there is no other. ' * 3
pieces = [('<unk>', 0.0, TokenType.UNKNOWN), ('<s>', 0.0, TokenType.CONTROL), ('</s>', 0.0, TokenType.CONTROL)]
pieces += [(f'<0x{b:02X}>', 0.0, TokenType.BYTE) for b in range(256)]
words = ['▁' + x for x in TEXT.split()]
seqs = [list(x) for x in words]; learnt = []
for _ in range(150):
    count = {}
    for s in seqs:
        for a, b in zip(s, s[1:]): count[a + b] = count.get(a + b, 0) + 1
    best = max(count, key=lambda k: (count[k], k)); learnt.append(best)
    for s in seqs:
        i = 0
        while i < len(s) - 1:
            if s[i] + s[i + 1] == best: s[i:i + 2] = [best]
            i += 1
pieces += [(s, -float(i), TokenType.NORMAL) for i, s in enumerate(learnt)]
pieces += [(s, -1000.0 - i, TokenType.NORMAL) for i, s in enumerate(sorted(set('▁'.join(words)) - set(learnt)))]
pieces += [('<|end|>', 0.0, TokenType.CONTROL), ('<think>', 0.0, TokenType.USER_DEFINED)]
ids = {s: i for i, (s, _, _) in enumerate(pieces)}
assert len(ids) == len(pieces)


def encode(text):
    out = []
    special = [s for s, _, k in pieces if k in (TokenType.CONTROL, TokenType.USER_DEFINED)]
    rest, parts = text, []
    while rest:  # added tokens first
        found = min(((rest.find(s), -len(s), s) for s in special if s in rest), default=None)
        if not found: parts.append((False, rest)); break
        if found[0]: parts.append((False, rest[:found[0]]))
        parts.append((True, found[2])); rest = rest[found[0] + len(found[2]):]
    for known, part in parts:
        if known: out.append(ids[part]); continue
        s = list(('▁' + part.replace(' ', '▁')))
        while True:
            best = None
            for i in range(len(s) - 1):
                k = ids.get(s[i] + s[i + 1])
                if k is not None and pieces[k][2] == TokenType.NORMAL and (best is None or pieces[k][1] > best[0]): best = (pieces[k][1], i)
            if best is None: break
            s[best[1]:best[1] + 2] = [s[best[1]] + s[best[1] + 1]]
        for x in s: out += [ids[x]] if x in ids else [ids[f'<0x{b:02X}>'] for b in x.encode()]
    return [1] + out


w = GGUFWriter(f'{OUT}/spm.gguf', 'llama')
w.add_tokenizer_model('llama'); w.add_tokenizer_pre('default')
w.add_token_list([s for s, _, _ in pieces]); w.add_token_scores([x for _, x, _ in pieces]); w.add_token_types([k for _, _, k in pieces])
w.add_bos_token_id(1); w.add_eos_token_id(2); w.add_unk_token_id(0); w.add_add_bos_token(True); w.add_add_eos_token(False)
close(w)
golden['spm'] = [{'text': t, 'ids': encode(t)} for t in
    ['the other theory', '  two  spaces', 'naïve – 🤔 日本', 'line\n\n\ttab 12345', 'there<|end|>the <think>no', ' ', 'a', 'def make(name):\n    return the_other']]

json.dump(golden, open(f'{OUT}/golden.json', 'w'), ensure_ascii=False, indent=1)
for f in sorted(os.listdir(OUT)): print(f'{os.path.getsize(os.path.join(OUT, f)) / 1e3:8.1f} kB  {f}')
