"""Trains tiny-reasoner, a Qwen2-architecture causal language model, on generated reasoning texts.

    python train.py --texts stream.jsonl --out . --minutes 65

The tokenizer (byte-level BPE, every digit its own token) is trained on the first texts, then the model on all of them:
documents end in <|endoftext|>, and those of like length share a batch. One thread, AdamW, linear warm-up and decay.
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
    parser.add_argument("--batch", type=int, default=4096, help="tokens a step")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--mlp", type=int, default=384)
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
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
                                  lr=args.lr, betas=(0.9, 0.98), eps=1e-8, fused=True)
    stream = batches(documents, args.batch, np.random.default_rng(args.seed))
    began = saved = time.time()
    step = seen = 0
    log = []
    while True:
        share = (time.time() - began) / 60 / args.minutes
        if share >= 1:
            break
        rate = args.lr * min(1, (step + 1) / 100, max(0.01, (1 - share) / 0.7))
        for group in optimizer.param_groups:
            group["lr"] = rate
        inputs, targets = next(stream)
        loss = loss_of(model, inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        seen += int((targets != -100).sum())
        log.append(loss.item())
        if step % 100 == 0:
            print(f"step {step} tokens {seen} loss {np.mean(log[-100:]):.4f} rate {rate:.2e} {seen / (time.time() - began):.0f} tokens/s", flush=True)
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
