import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeTokenizer, openTokenizer } from "../../src/adapters/tokenizer";
import { ModelError } from "../../src/core/errors";
import type { Tokenizer } from "../../src/core/types";
import { FIXTURES, found } from "../fixtures";

const ORACLE = join(__dirname, "../../../test/oracle");
const FAMILIES = ["llama", "qwen2", "gemma2", "gemma3", "gpt2", "mistral", "neox", "olmo2", "phi3", "qwen3"];

const folderOf = (family: string): string | undefined => found(
  join(ORACLE, "models", family), join(ORACLE, "tokenizers", family), join(FIXTURES, "models", family));
const golden = (family: string): any => JSON.parse(readFileSync(join(folderOf(family)!, "golden.json"), "utf8"));
const json = (family: string): any => JSON.parse(readFileSync(join(folderOf(family)!, "tokenizer.json"), "utf8"));

/** Text with everything that makes offsets hard. */
const HARD = [
  "Wait, hmm — let me check: 9:45 – oh, why…", "naïve café", "é vs e\u0301, Å vs A\u030a", "🤔👩‍🚀 한국어 \u1112\u1161\u11ab", "  two spaces\n\n\ttab\r\n", "<s>inside</s> of <s> text",
  "zero\u200bwidth\u00a0nbsp", "▁literal▁", "ﬁ ligature Ω", "क़ i̇", "lone \ud83e surrogate", " ", "\n", "", "a",
];

/** What offsets must satisfy whatever the tokenizer: in order, inside, nothing of the text left out, and the bytes of a token those of its range. */
function checkOffsets(tokenizer: Tokenizer, text: string, exact: boolean): void {
  const { ids, start, end } = tokenizer.encode(text);
  let reached = 0;
  let from = 0;
  ids.forEach((id, t) => {
    const where = `${JSON.stringify(text)} token ${t} of ${ids}`;
    assert.ok(start[t] <= end[t] && end[t] <= text.length, where);
    if (start[t] === end[t]) return; // put there by the tokenizer, not of the text
    assert.ok(start[t] >= from, where);
    assert.ok(start[t] <= reached, `${where}: text left out before it`);
    from = start[t];
    reached = Math.max(reached, end[t]);
    if (exact) {
      const range = Buffer.from(text.slice(start[t], end[t]));
      assert.ok(range.includes(Buffer.from(tokenizer.bytes(id))), `${where}: ${Buffer.from(tokenizer.bytes(id)).toString("hex")} in ${range.toString("hex")}`);
    }
  });
  assert.equal(reached, text.length, `${JSON.stringify(text)}: text left out at the end`);
}

for (const family of FAMILIES) {
  const folder = folderOf(family);
  if (!folder) continue;
  test(`${family}: ids of transformers, text back, offsets that cover the text`, () => {
    const tokenizer = openTokenizer(folder);
    assert.equal(tokenizer.vocabularySize, 320);
    for (const { text, ids, decoded } of golden(family).prompts) {
      const found = tokenizer.encode(text);
      assert.deepEqual([...found.ids], ids, text);
      assert.equal(tokenizer.decode(ids.filter((id: number) => !tokenizer.isSpecial(id))), decoded);
      checkOffsets(tokenizer, text, true);
    }
    const sentencePiece = json(family).model.byte_fallback === true;
    const normalises = json(family).normalizer?.type === "NFC";
    for (const text of HARD) {
      checkOffsets(tokenizer, text, !normalises && !(sentencePiece && text.includes("▁")));
      if (!sentencePiece) assert.equal(tokenizer.decode(tokenizer.encode(text).ids), Buffer.from(normalises ? text.normalize("NFC") : text).toString()); // lone surrogates become U+FFFD;
    }
  });
}

test("offsets of tokens within a character cover the whole character", () => {
  const { ids, start, end } = openTokenizer(join(ORACLE, "models", "llama")).encode("a – 🤔b");
  assert.deepEqual([...start].map((from, t) => [from, end[t]]), [[0, 1], [1, 2], [2, 3], [2, 3], [2, 3], [3, 4], [4, 6], [4, 6], [4, 6], [4, 6], [6, 7]].slice(0, ids.length));
  assert.equal(end.at(-1), 7);
});

test("text that is normalised keeps the offsets of what was written", () => {
  const tokenizer = openTokenizer(join(ORACLE, "models", "qwen2")); // NFC
  const text = "xe\u0301y";
  const { start, end } = tokenizer.encode(text);
  assert.deepEqual([...start].map((from, t) => text.slice(from, end[t])), ["x", "e\u0301", "e\u0301", "y"]);
});

test("special tokens in the text are one token each; they stand for their own names", () => {
  const tokenizer = openTokenizer(join(ORACLE, "models", "llama"));
  const { ids, start, end } = tokenizer.encode("a<s>b");
  assert.deepEqual([...start], [0, 1, 4]);
  assert.deepEqual([...end], [1, 4, 5]);
  assert.ok(tokenizer.isSpecial(ids[1]) && !tokenizer.isSpecial(ids[0]));
  assert.equal(Buffer.from(tokenizer.bytes(ids[1])).toString(), "<s>");
  assert.equal(tokenizer.decode(ids), "a<s>b");
});

test("what a post-processor puts in front has offsets 0, 0; a space put in front covers nothing", () => {
  const tokenizer = openTokenizer(folderOf("mistral")!);
  const { ids, start, end } = tokenizer.encode("The");
  assert.ok(tokenizer.isSpecial(ids[0]));
  assert.deepEqual([start[0], end[0]], [0, 0]);
  assert.equal(end.at(-1), 3);
  assert.equal(tokenizer.encode("").ids.length, 1);
});

test("an added token that swallows spaces: its own range, the spaces are no token's", () => {
  const spec = json("llama");
  spec.added_tokens.push({ id: 320, content: "<think>", special: false, lstrip: true, rstrip: true, normalized: false, single_word: false });
  const tokenizer = makeTokenizer(spec, {}, "test");
  const { ids, start, end } = tokenizer.encode("a  <think> \n b");
  assert.deepEqual([...ids].indexOf(320), 1);
  assert.deepEqual([start[1], end[1]], [3, 10]);
  assert.deepEqual([start[2], end[2]], [13, 14]);
});

test("a tokenizer that rewrites the text unaccountably is an error, not a wrong offset", () => {
  const spec = json("llama");
  spec.normalizer = { type: "Replace", pattern: { String: "cat" }, content: "dog" };
  const tokenizer = makeTokenizer(spec, {}, "folder/tokenizer.json");
  checkOffsets(tokenizer, "no such animal", true);
  assert.throws(() => tokenizer.encode("the cat sat"), (error: Error) => error.name === "TextError" && /^folder\/tokenizer\.json: token \d+/.test(error.message));
});

test("a long text has the offsets of its repeated part, shifted", () => {
  const tokenizer = openTokenizer(join(ORACLE, "models", "qwen2"));
  const unit = "Wait, 12 – naïve e\u0301\n";
  const one = tokenizer.encode(unit);
  const many = tokenizer.encode(unit.repeat(4000));
  assert.equal(many.ids.length, one.ids.length * 4000);
  for (let t = 0; t < many.ids.length; t++) {
    const shift = Math.floor(t / one.ids.length) * unit.length;
    assert.equal(many.start[t] - shift, one.start[t % one.ids.length]);
    assert.equal(many.end[t] - shift, one.end[t % one.ids.length]);
  }
});

test("a tokenizer that cannot be used is named, with the remedy", () => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-"));
  try {
    assert.throws(() => openTokenizer(folder), (error: Error) => error instanceof ModelError && /tokenizer\.json: expected the tokenizer, found no such file/.test(error.message));
    writeFileSync(join(folder, "tokenizer.json"), "{");
    assert.throws(() => openTokenizer(folder), (error: Error) => error instanceof ModelError && /expected JSON/.test(error.message));
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify({ ...json("llama"), model: { type: "WordPiece", vocab: {} } }));
    assert.throws(() => openTokenizer(folder), (error: Error) => error instanceof ModelError && /found WordPiece/.test(error.message));
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.throws(() => openTokenizer(join(ORACLE, "models", "llama")).bytes(320), RangeError);
});

/** A tokenizer of test/oracle with another chat template, and what else a test says of its configuration. */
const withTemplate = (chat_template: unknown, family = "mistral", extra: object = {}): Tokenizer =>
  makeTokenizer(json(family), { bos_token: { __type: "AddedToken", content: "<s>" }, eos_token: "</s>", chat_template, ...extra }, "folder/tokenizer.json");

const TALK = [
  { role: "system", content: " Be brief. " }, { role: "user", content: "2 + 2?" },
  { role: "assistant", content: "<think>\neasy\n</think>\n\n4" }, { role: "user", content: "And “3”?" },
];

// Written for this test with the means that the families' own templates use; the texts are those of jinja2 3.1.6 with trim_blocks and
// lstrip_blocks, as transformers sets them.
const TEMPLATES: Record<string, [template: string, whole: string]> = {
  "as DeepSeek-R1: a namespace, thoughts cut away, an answer begun": [
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set seen = namespace(system='', answers=0) %}" +
    "{%- for m in messages if m['role'] == 'system' %}{% set seen.system = seen.system + m['content'] %}{%- endfor %}{{bos_token}}{{seen.system}}" +
    "{%- for m in messages %}{%- if m['role'] == 'user' %}{{'<｜User｜>' + m['content']}}{%- endif -%}" +
    "{%- if m['role'] == 'assistant' and m['content'] is not none %}{% set seen.answers = seen.answers + 1 %}{% set said = m['content'] %}{% if '</think>' in said %}{% set said = said.split('</think>')[-1] %}{% endif %}" +
    "{{'<｜Assistant｜>' + said + eos_token}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and seen.answers < 9 %}{{'<｜Assistant｜><think>\\n'}}{% endif %}",
    "<s> Be brief. <｜User｜>2 + 2?<｜Assistant｜>\n\n4</s><｜User｜>And “3”?<｜Assistant｜><think>\n",
  ],
  "as Qwen: tools, a look from the end, thoughts of earlier turns cut away, thinking switched off": [
    "{%- if tools %}\n    {{- '[tools]' + (tools | tojson) }}\n{%- elif messages[0].role == 'system' %}\n    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}\n{%- endif %}\n" +
    "{%- set at = namespace(open=true, question=messages|length - 1) %}\n{%- for m in messages[::-1] %}\n    {%- if at.open and m.role == \"user\" and m.content is string and not m.content.startswith('<tool>') %}\n        {%- set at.open = false %}\n        {%- set at.question = messages|length - loop.index %}\n    {%- endif %}\n{%- endfor %}\n" +
    "{%- for m in messages %}\n    {%- if m.role == \"user\" or (m.role == \"system\" and not loop.first) %}\n        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\n" +
    "    {%- elif m.role == \"assistant\" %}\n        {#- what was thought before the last question #}\n        {{- '<|im_start|>assistant\\n' + (m.content.split('</think>')[-1].lstrip('\\n') if loop.index0 < at.question else m.content) + '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}\n" +
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n    {%- if enable_thinking is defined and enable_thinking is false %}\n        {{- '<think></think>' }}\n    {%- endif %}\n{%- endif %}\n",
    "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\nAnd “3”?<|im_end|>\n<|im_start|>assistant\n",
  ],
  "as Llama 3: today's date, the system message taken out of the list, filters": [
    "{{- bos_token }}\n{%- if not day is defined %}\n    {%- if strftime_now is defined %}\n        {%- set day = strftime_now(\"%d %b %Y\") %}\n    {%- else %}\n        {%- set day = \"unknown\" %}\n    {%- endif %}\n{%- endif %}\n\n" +
    "{#- The rest is without it. #}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set rules = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set rules = \"\" %}\n{%- endif %}\n" +
    "{{- \"<|header|>system\\n\\nToday: \" + day + \"\\n\" }}\n{{- rules }}\n{{- \"<|eot|>\" }}\n" +
    "{%- for m in messages %}\n    {%- if not (m.role == 'tool' or 'calls' in m) %}\n        {{- '<|header|>' + m['role'] + '\\n\\n' + m['content'] | trim + '<|eot|>' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|header|>assistant\\n\\n' }}\n{%- endif %}\n",
    "<s><|header|>system\n\nToday: 03 May 2026\nBe brief.<|eot|><|header|>user\n\n2 + 2?<|eot|><|header|>assistant\n\n<think>\neasy\n</think>\n\n4<|eot|><|header|>user\n\nAnd “3”?<|eot|><|header|>assistant\n\n",
  ],
  "as Gemma: turns in order or an error, another name for the assistant": [
    "{{ bos_token }}\n{%- set turns = messages[1:] if messages[0]['role'] == 'system' else messages -%}\n{%- set lead = messages[0]['content'] + '\\n' if turns|length < messages|length else '' -%}\n" +
    "{%- for m in turns -%}\n    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}\n        {{ raise_exception(\"user and assistant must take turns\") }}\n    {%- endif -%}\n" +
    "    {%- set who = 'model' if m['role'] == 'assistant' else m['role'] -%}\n    {{ '<turn>' + who + '\\n' + (lead if loop.first else '') }}\n    {%- if m['content'] is string -%}\n        {{ m['content'] | trim }}\n" +
    "    {%- elif m['content'] is iterable -%}\n        {%- for part in m['content'] -%}{{ part['text'] }}{%- endfor -%}\n    {%- endif -%}\n    {{ '<end>\\n' }}\n{%- endfor -%}\n{%- if add_generation_prompt -%}\n    {{ '<turn>model\\n' }}\n{%- endif -%}\n",
    "<s><turn>user\n Be brief. \n2 + 2?<end>\n<turn>model\n<think>\neasy\n</think>\n\n4<end>\n<turn>user\nAnd “3”?<end>\n<turn>model\n",
  ],
};
const [R1, QWEN, , GEMMA] = Object.values(TEMPLATES).map(([template]) => template);

for (const [family, [template, whole]] of Object.entries(TEMPLATES)) {
  test(`a conversation through a chat template ${family}`, () => {
    const date = new Date(2026, 4, 3);
    assert.equal(withTemplate(template).chat(TALK, { date }), whole);
    assert.equal(withTemplate([{ name: "default", template }, { name: "tool_use", template: "no" }]).chat(TALK, { date }), whole);
    const without = withTemplate(template).chat(TALK, { date, addGenerationPrompt: false });
    assert.ok(whole.startsWith(without) && without.length < whole.length);
  });
}

test("a template's own variables, its other templates, its refusal in its words", () => {
  assert.match(withTemplate(QWEN).chat(TALK, { variables: { enable_thinking: false } }), /assistant\n<think><\/think>$/);
  assert.match(withTemplate(QWEN).chat(TALK, { variables: { tools: [{ name: "f" }] } }), /^\[tools\]\[\{"name": "f"\}\]/);
  const named = withTemplate([{ name: "default", template: "one" }, { name: "rag", template: "two" }]);
  assert.equal(named.chat(TALK, { template: "rag" }), "two");
  assert.throws(() => named.chat(TALK, { template: "none" }), /^OptionError: template: expected "default" or "rag", found "none"/);
  const gemma = withTemplate(GEMMA);
  assert.throws(() => gemma.chat([TALK[1], TALK[1]]), /^TextError: .*found roles user, user: user and assistant must take turns/);
  assert.throws(() => gemma.chat([]), /^TextError: messages: expected at least one/);
  assert.throws(() => gemma.chat([{ role: "user" } as any]), /^TextError: messages: message 0: expected \{ role, content \}/);
  assert.throws(() => withTemplate("{% if %}").chat(TALK), (error: Error) => ["ModelError", "TextError"].includes(error.name) && /chat template/.test(error.message));
  assert.throws(() => withTemplate({ a: 1 }), /^ModelError: .*chat_template: expected a text or a list/);
  assert.throws(() => withTemplate([{ name: "default" }]), /^ModelError/);
  assert.throws(() => withTemplate(undefined).chat(TALK), /^ModelError: folder\/tokenizer\.json: expected a chat template .* found none: this is a base model.*instruct or chat version/);
});

test("dates of a template: Python's directives, English names, the day asked for or today", () => {
  const all = withTemplate("{{ strftime_now('%A %a %B %b %d %-d %e %m %-m %y %Y %H %I %p %M %S %j %F %T %% %Q') }}");
  assert.equal(all.chat(TALK, { date: new Date(2026, 0, 5, 15, 4, 9) }), "Monday Mon January Jan 05 5  5 01 1 26 2026 15 03 PM 04 09 005 2026-01-05 15:04:09 % %Q");
  const before = new Date().getFullYear();
  const year = Number(withTemplate("{{ strftime_now('%Y') }}").chat(TALK));
  assert.ok(year >= before && year <= new Date().getFullYear());
  assert.equal(withTemplate("  {% if strftime_now is defined %}\nyes{% endif %}\n\n").chat(TALK), "yes", "blanks are taken away as without a date");
});

test("a chat has the beginning-of-text token once, though the tokenizer would put it there by itself", () => {
  const tokenizer = withTemplate(R1); // this tokenizer's post-processor adds <s>
  const text = tokenizer.chat(TALK);
  const { ids, start, end } = tokenizer.encode(text);
  assert.equal([...ids].filter((id) => id === 1).length, 1);
  assert.deepEqual([ids[0], start[0], end[0]], [1, 0, 3]);
  assert.equal(tokenizer.encode("<s><s>a").ids.filter((id) => id === 1).length, 2, "what is written is kept");
  const plain = tokenizer.encode("a");
  assert.deepEqual([plain.ids[0], plain.start[0], plain.end[0]], [1, 0, 0]);
});

test("chat_template.jinja beside the tokenizer goes before the configuration's", () => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-chat-"));
  try {
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json("llama")));
    assert.throws(() => openTokenizer(folder).chat(TALK), /found none: this is a base model/);
    writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ bos_token: "<s>", chat_template: "old" }));
    assert.equal(openTokenizer(folder).chat(TALK), "old");
    writeFileSync(join(folder, "chat_template.jinja"), "{{ bos_token }}{{ messages[1]['content'] }}\n");
    assert.equal(openTokenizer(folder).chat(TALK), "<s>2 + 2?");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("vocab.json and merges.txt are read as the tokenizer.json they come from", () => {
  const family = folderOf("gpt2") ? "gpt2" : "llama"; // both byte-level with GPT-2's split
  const whole = openTokenizer(folderOf(family)!);
  const { vocab, merges } = json(family).model;
  const folder = mkdtempSync(join(tmpdir(), "saelab-gpt2-"));
  const write = (name: string, content: unknown) => writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  try {
    write("vocab.json", vocab);
    write("merges.txt", `#version: 0.2\n${merges.map((pair: string[] | string) => (typeof pair === "string" ? pair : pair.join(" "))).join("\n")}\n`);
    write("special_tokens_map.json", { bos_token: "<s>", eos_token: { content: "</s>" }, pad_token: "<pad>" });
    const tokenizer = openTokenizer(folder);
    assert.equal(tokenizer.vocabularySize, whole.vocabularySize);
    for (const text of [...HARD, ...golden(family).prompts.map((prompt: any) => prompt.text), "a<s>b</s>", "12345 it's  we'll"]) {
      assert.deepEqual(tokenizer.encode(text), whole.encode(text), text);
    }
    assert.ok(tokenizer.isSpecial(1) && !tokenizer.isSpecial(50));
    write("added_tokens.json", { "<think>": 320 });
    write("tokenizer_config.json", { tokenizer_class: "GPT2Tokenizer", bos_token: "<s>", add_bos_token: true, chat_template: "{{ bos_token }}x" });
    const more = openTokenizer(folder);
    assert.deepEqual([...more.encode("a<think>").ids], [1, ...whole.encode("a").ids, 320]);
    assert.equal(more.encode(more.chat(TALK)).ids[0], 1);
    write("merges.txt", "Ġ zzz\n");
    assert.throws(() => openTokenizer(folder), /^ModelError: .*merges\.txt: line 1: expected two tokens of vocab\.json/);
    write("vocab.json", "[1.5]");
    assert.throws(() => openTokenizer(folder), /^ModelError: .*vocab\.json: expected tokens with their ids/);
    write("tokenizer_config.json", { tokenizer_class: "Qwen2Tokenizer" });
    assert.throws(() => openTokenizer(folder), /^ModelError: .*vocab\.json: expected the files of a GPT-2 tokenizer.* found those of Qwen2Tokenizer.*save_pretrained/);
    write("config.json", { model_type: "qwen2" });
    write("tokenizer_config.json", {});
    assert.throws(() => openTokenizer(folder), /found those of qwen2/);
    rmSync(join(folder, "vocab.json"));
    write("tokenizer.model", "sentencepiece");
    assert.throws(() => openTokenizer(folder), /tokenizer\.json: expected the tokenizer, found no such file\..*tokenizer\.model alone is converted/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("digits are split as tokenizer.json says, one by one or in threes; Python's transformers 5 rebuilds some of them otherwise", () => {
  const split = (spec: any): string[] => {
    const tokenizer = makeTokenizer(spec, { tokenizer_class: "LlamaTokenizerFast" }, "test");
    const text = "x = 1234567";
    const { start, end } = tokenizer.encode(text);
    return [...start].map((from, t) => text.slice(from, end[t])).filter((piece) => /\d/.test(piece));
  };
  const spec = json("qwen2"); // \p{N}: each digit alone
  for (const number of ["12", "123", "1234", "12345", "123456", "1234567", "34", "45", "456", "4567"]) spec.model.vocab[number] = Object.keys(spec.model.vocab).length;
  spec.model.merges.push(["1", "2"], ["12", "3"], ["4", "5"], ["45", "6"]);
  assert.deepEqual(split(spec), ["1", "2", "3", "4", "5", "6", "7"]);
  const threes = structuredClone(spec);
  threes.pre_tokenizer.pretokenizers[0].pattern.Regex = threes.pre_tokenizer.pretokenizers[0].pattern.Regex.replace("|\\p{N}|", "|\\p{N}{1,3}|");
  assert.deepEqual(split(threes), ["123", "456", "7"]);
});
