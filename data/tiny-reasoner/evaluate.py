"""Samples traces for held-out puzzles: how many parse, how many answers are right, against chance.

    python evaluate.py --puzzles heldout.jsonl --count 400

Puzzles come from `prepare.js --puzzles heldout.jsonl` ({kind, text, answer} a line; none occurs in the training texts).
A trace parses when it holds one <think> block that is closed, sentences in it that each begin with a capital or a digit and
end in a full stop or a question mark, one answer line, and then the end of the text.
"""
import argparse
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TRACE = re.compile(r"<think>\n(?P<body>(?:[^<]|\n)+?)\n</think>\nAnswer: (?P<answer>[^\n]+)<\|endoftext\|>")
SENTENCE = re.compile(r'["A-ZÀ-Þ0-9][^.?]*[.?](?=\s|$)')


def parse(trace):
    """The answer of a trace, or None if the trace is not of the form above."""
    found = TRACE.fullmatch(trace)
    if not found:
        return None
    rest = SENTENCE.sub("", found["body"]).strip()
    return None if rest else found["answer"]


def chance(puzzles):
    """Share of right answers by always giving the kind's most frequent answer, and by naming one of the names at random."""
    by_kind = defaultdict(list)
    for puzzle in puzzles:
        by_kind[puzzle["kind"]].append(puzzle)
    guess = {}
    for kind, rows in by_kind.items():
        frequent = Counter(row["answer"] for row in rows).most_common(1)[0][1] / len(rows)
        options = [row["options"] for row in rows if row["options"]]
        guess[kind] = max(frequent, sum(1 / n for n in options) / len(rows) if options else 0)
    return guess


def sample(model, tokenizer, prompts, temperature, max_tokens, batch=100):
    """One sampled trace a prompt, up to and with <|endoftext|>; no nucleus, no top-k."""
    traces = []
    for at in range(0, len(prompts), batch):
        inputs = tokenizer(prompts[at:at + batch], add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
        out = model.generate(inputs["input_ids"], attention_mask=inputs["attention_mask"], do_sample=True, temperature=temperature,
                             top_k=0, top_p=1.0, max_new_tokens=max_tokens)
        for row in out[:, inputs["input_ids"].shape[1]:].tolist():
            end = row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
            traces.append("<think>\n" + tokenizer.decode(row[:end]))
    return traces


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(Path(__file__).parent))
    parser.add_argument("--puzzles", required=True)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--max-tokens", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="traces to print")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    every = [json.loads(line) for line in open(args.puzzles, encoding="utf-8")]
    puzzles = every[:args.count]
    traces = sample(model, tokenizer, [f"{p['text']}\n<think>\n" for p in puzzles], args.temperature, args.max_tokens)
    right, parsed, seen = Counter(), Counter(), Counter(p["kind"] for p in puzzles)
    for n, (puzzle, trace) in enumerate(zip(puzzles, traces)):
        answer = parse(trace)
        parsed[puzzle["kind"]] += answer is not None
        right[puzzle["kind"]] += answer == puzzle["answer"]
        if n < args.show:
            print(f"{puzzle['text']}\n{trace}\n(right: {puzzle['answer']})\n")
    guess = chance(every)
    for kind in sorted(seen):
        print(f"{kind:12s} {seen[kind]:4d} puzzles  parse {parsed[kind] / seen[kind]:6.1%}  right {right[kind] / seen[kind]:6.1%}  chance {guess[kind]:6.1%}")
    total = len(puzzles)
    print(f"{'all':12s} {total:4d} puzzles  parse {parsed.total() / total:6.1%}  right {right.total() / total:6.1%}  "
          f"chance {sum(guess[p['kind']] for p in puzzles) / total:6.1%}")


if __name__ == "__main__":
    main()
