"""Trains tiny-reasoner, a Qwen2-architecture causal language model, on generated reasoning texts.

    python train.py --texts stream.jsonl --out . --minutes 65

The tokenizer (byte-level BPE, every digit its own token) is trained on the first texts, then the model on all of them:
documents end in <|endoftext|>, and those of like length share a batch. One thread; Muon for the
matrices, AdamW for the rest; linear warm-up and decay.
--minutes bounds the run by the clock: the learning rate follows the share of the time that has passed.
"""
import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM

SPECIAL = ["<|endoftext|>", "<|pad|>", "<think>", "</think>"]
# Qwen2's own split: contractions, letters with one leading sign, single digits, other signs, line breaks, blanks.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def train_tokenizer(texts, vocab):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    # <think> marks are tokens of their own, but text: they stay visible when a trace is decoded.
    spec = json.loads(tokenizer.to_str())
    for token in spec["added_tokens"]:
        token["special"] = token["content"] in SPECIAL[:2]
    return Tokenizer.from_str(json.dumps(spec))


def encode(tokenizer, texts):
    """Token ids of each text with <|endoftext|> at its end."""
    end = tokenizer.token_to_id("<|endoftext|>")
    ids = []
    for at in range(0, len(texts), 5000):
        ids += [np.asarray(e.ids + [end], dtype=np.int64) for e in tokenizer.encode_batch(texts[at:at + 5000], add_special_tokens=False)]
    return ids


def batches(documents, tokens, rng):
    """Endless batches of about `tokens` tokens, documents of like length together: [inputs, targets], right-padded with -100.

    A document starts at position 0, as it does when it is read later; causal attention never sees the padding on the right.
    """
    while True:
        order = rng.permutation(len(documents))
        for at in range(0, len(order), 2048):
            block = sorted(order[at:at + 2048], key=lambda i: len(documents[i]))
            groups, group = [], []
            for i in block:
                if group and (len(group) + 1) * len(documents[i]) > tokens:
                    groups.append(group)
                    group = []
                group.append(i)
            groups.append(group)
            for g in rng.permutation(len(groups)):
                rows = [documents[i] for i in groups[g]]
                padded = np.full((len(rows), max(map(len, rows))), -100, dtype=np.int64)
                for row, ids in zip(padded, rows):
                    row[:len(ids)] = ids
                yield torch.from_numpy(padded[:, :-1]).clamp(min=0), torch.from_numpy(padded[:, 1:].copy())


def loss_of(model, inputs, targets):
    """Mean cross-entropy of the next token, in nats, over the tokens that are no padding."""
    return torch.nn.functional.cross_entropy(model(inputs).logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def names_in(tokenizer, texts):
    """Tokens that stand for a capitalised word in the puzzles: the names, in the main."""
    found = set()
    for encoding in tokenizer.encode_batch([text[:text.index("<think>")] for text in texts], add_special_tokens=False):
        found |= {id for id, token in zip(encoding.ids, encoding.tokens) if len(token) > 2 and token[0] == "\u0120" and token[1].isupper()}
    return np.array(sorted(found))


def drill(names, tokens, rng):
    """Rows about a few names: [inputs, targets] of about `tokens` tokens; half the rows at random, half over and over in turn.

    To name who the puzzle is about is the first thing a trace needs, and what a small model finds last in texts alone, where a
    name is one token in thirty; here it finds it early.
    """
    width = int(rng.choice([24, 48, 160]))
    rows = []
    for row in range(max(2, tokens // width)):
        few = rng.choice(names, rng.integers(2, 6), replace=False)
        rows.append(rng.choice(few, width + 1) if row % 2 else np.resize(few, width + 1))
    ids = np.stack(rows)
    return torch.from_numpy(ids[:, :-1].copy()), torch.from_numpy(ids[:, 1:].copy())


def sums(tokenizer, tokens, rng):
    """Rows of small sums and parities in the words of the traces: [inputs, targets]; only the results count."""
    rows, filled = [], 0
    while filled < tokens:
        ids, counted = [], []
        for _ in range(6):
            kind = int(rng.integers(5))
            a, b, few = int(rng.integers(2, 70)), int(rng.integers(2, 31)), int(rng.integers(2, 10))
            if kind == 0:
                question, result = f"{a} {rng.choice(['plus', '+'])} {b}", a + b
            elif kind == 1:
                question, result = f"{a + b} {rng.choice(['minus', '-'])} {b}", a
            elif kind == 2:
                each = int(rng.choice([int(rng.integers(2, 10)), 7, 12, 24, 60, 100, 1000]))
                question, result = f"{few} {rng.choice(['times', '*'])} {each}", few * each
            elif kind == 3:
                each = int(rng.integers(2, 10))
                question, result = f"{few * each} {rng.choice(['divided by', '/'])} {few}", each
            else:
                question, result = f"{a}", "odd" if a % 2 else "even"
            between = " is" if kind == 4 else rng.choice([" is", " =", " makes", " gives"])
            asked = tokenizer.encode(f" {question}{between}", add_special_tokens=False).ids
            told = tokenizer.encode(f" {result}.", add_special_tokens=False).ids
            ids += asked + told
            counted += [-100] * len(asked) + told
        rows.append((ids, counted))
        filled += len(ids)
    width = max(len(ids) for ids, _ in rows)
    inputs, targets = np.zeros((len(rows), width), np.int64), np.full((len(rows), width), -100, np.int64)
    for i, (ids, counted) in enumerate(rows):
        inputs[i, :len(ids)], targets[i, :len(ids)] = ids, counted
    return torch.from_numpy(inputs[:, :-1].copy()), torch.from_numpy(targets[:, 1:].copy())


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are orthogonalised: W -= lr · 0.2·√max(m, n) · UVᵀ of the momentum USVᵀ (Jordan et al. 2024).

    UVᵀ by five Newton-Schulz steps, matrices of one shape together; the factor gives AdamW's step size (Liu et al. 2025).
    """

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.1):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                state = self.state[p]
                average = state.setdefault("average", torch.zeros_like(p))
                average.mul_(group["momentum"]).add_(p.grad)
                g = p.grad + group["momentum"] * average
                shapes.setdefault((max(g.shape), min(g.shape)), []).append((p, g if g.shape[0] <= g.shape[1] else g.T))
            for (large, _), entries in shapes.items():
                x = torch.stack([g for _, g in entries])
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                for (p, _), update in zip(entries, x):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(update if update.shape == p.shape else update.T, alpha=-group["lr"] * 0.2 * large ** 0.5)


def save(model, tokenizer, out, context):
    """The checkpoint as the hub keeps it; each file is written beside and then moved into place."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "silu",
        "hidden_size": model.config.hidden_size, "initializer_range": 0.02, "intermediate_size": model.config.intermediate_size,
        "max_position_embeddings": context, "max_window_layers": model.config.num_hidden_layers, "model_type": "qwen2",
        "num_attention_heads": model.config.num_attention_heads, "num_hidden_layers": model.config.num_hidden_layers,
        "num_key_value_heads": model.config.num_key_value_heads, "pad_token_id": 1, "rms_norm_eps": model.config.rms_norm_eps,
        "sliding_window": None, "tie_word_embeddings": True, "use_cache": True, "use_sliding_window": False,
        "vocab_size": model.config.vocab_size, "torch_dtype": "float32", "rope_theta": 10000.0, "rope_scaling": None,
    }
    token = lambda content: {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                             "special": content in SPECIAL[:2]}
    files = {
        "config.json": json.dumps(config, indent=1),
        "generation_config.json": json.dumps({"do_sample": True, "temperature": 0.7, "eos_token_id": 0, "pad_token_id": 1}, indent=1),
        "tokenizer_config.json": json.dumps({
            "add_prefix_space": False, "add_bos_token": False, "added_tokens_decoder": {str(i): token(s) for i, s in enumerate(SPECIAL)},
            "bos_token": None, "clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>", "errors": "replace",
            "model_max_length": context, "pad_token": "<|pad|>", "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
            "chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '\\n<think>\\n' }}{% endif %}",
        }, indent=1),
    }
    for name, text in files.items():
        (out / f"{name}.partial").write_text(text + "\n")
        (out / f"{name}.partial").rename(out / name)
    tokenizer.save(str(out / "tokenizer.json.partial"))
    (out / "tokenizer.json.partial").rename(out / "tokenizer.json")
    tensors = {k: v.detach().float().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(tensors, out / "model.safetensors.partial", metadata={"format": "pt"})
    (out / "model.safetensors.partial").chmod(0o644)  # safetensors writes it for its owner only
    (out / "model.safetensors.partial").rename(out / "model.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="JSON strings, one a line (prepare.js --stream)")
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=65)
    parser.add_argument("--vocab", type=int, default=1024)
    parser.add_argument("--context", type=int, default=640)
    parser.add_argument("--batch", type=int, default=2048, help="tokens a step")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--mlp", type=int, default=384)
    parser.add_argument("--drills", type=float, default=0.6, help="share of the time in which names and sums are drilled as well")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", help="a checkpoint folder to go on from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    texts = [json.loads(line) for line in open(args.texts, encoding="utf-8")]
    if args.start:
        tokenizer = Tokenizer.from_file(str(Path(args.start) / "tokenizer.json"))
        model = Qwen2ForCausalLM.from_pretrained(args.start, dtype=torch.float32)
    else:
        tokenizer = train_tokenizer(texts[:20_000], args.vocab)
        model = Qwen2ForCausalLM(Qwen2Config(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=args.width, intermediate_size=args.mlp, num_hidden_layers=args.layers,
            num_attention_heads=args.width // 32, num_key_value_heads=args.width // 64, max_position_embeddings=args.context,
            tie_word_embeddings=True, rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            bos_token_id=0, eos_token_id=0, pad_token_id=1, attn_implementation="sdpa"))
    documents = encode(tokenizer, texts)
    longest = max(map(len, documents))
    if longest > args.context:
        raise ValueError(f"{args.texts}: expected documents of at most {args.context} tokens (--context), found one of {longest}")
    held, documents = documents[:256], documents[256:]
    print(f"{len(texts)} texts, {sum(map(len, documents))} tokens, {sum(p.numel() for p in model.parameters())} parameters", flush=True)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim < 2 or "embed" in name]
    optimizers = [Muon(matrices, args.lr), torch.optim.AdamW(others, lr=args.lr, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.01)]
    names = names_in(tokenizer, texts[:2000])
    drills = np.random.default_rng(args.seed + 1)
    stream = batches(documents, args.batch, np.random.default_rng(args.seed))
    began = saved = time.time()
    step = seen = 0
    log, copied = [], []
    while True:
        share = (time.time() - began) / 60 / args.minutes
        if share >= 1:
            break
        rate = args.lr * min(1, (step + 1) / 100, max(0.01, (1 - share) / 0.7))
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        inputs, targets = next(stream)
        loss = loss_of(model, inputs, targets)
        loss.backward()
        if share < args.drills:
            copying = loss_of(model, *drill(names, args.batch // 8, drills))
            adding = loss_of(model, *sums(tokenizer, args.batch * 3 // 8, drills))
            (0.5 * copying + adding).backward()
            copied.append([copying.item(), adding.item()])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += int((targets != -100).sum())
        log.append(loss.item())
        if step % 100 == 0:
            print(f"step {step} tokens {seen} loss {np.mean(log[-100:]):.4f} drills {np.round(np.mean(copied[-20:] or [[0, 0]], 0), 3)} rate {rate:.2e} {seen / (time.time() - began):.0f} tokens/s", flush=True)
        if time.time() - saved > 300:
            save(model, tokenizer, args.out, args.context)
            saved = time.time()
    model.eval()
    with torch.no_grad():
        loss = float(np.mean([loss_of(model, *next(batches([ids], args.batch, np.random.default_rng(0)))).item() for ids in held]))
    if not math.isfinite(loss):
        raise RuntimeError(f"held-out loss: expected a finite number, found {loss}; lower --lr")
    save(model, tokenizer, args.out, args.context)
    print(f"done: {step} steps, {seen} tokens, held-out loss {loss:.4f}, {(time.time() - began) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
