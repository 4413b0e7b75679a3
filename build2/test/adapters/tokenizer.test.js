"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const tokenizer_1 = require("../../src/adapters/tokenizer");
const errors_1 = require("../../src/core/errors");
const fixtures_1 = require("../fixtures");
const ORACLE = (0, node_path_1.join)(__dirname, "../../../test/oracle");
const FAMILIES = ["llama", "qwen2", "gemma2", "gemma3", "gpt2", "mistral", "neox", "olmo2", "phi3", "qwen3"];
const folderOf = (family) => (0, fixtures_1.found)((0, node_path_1.join)(ORACLE, "models", family), (0, node_path_1.join)(ORACLE, "tokenizers", family), (0, node_path_1.join)(fixtures_1.FIXTURES, "models", family));
const golden = (family) => JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folderOf(family), "golden.json"), "utf8"));
const json = (family) => JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folderOf(family), "tokenizer.json"), "utf8"));
/** Text with everything that makes offsets hard. */
const HARD = [
    "Wait, hmm — let me check: 9:45 – oh, why…", "naïve café", "é vs e\u0301, Å vs A\u030a", "🤔👩‍🚀 한국어 \u1112\u1161\u11ab", "  two spaces\n\n\ttab\r\n", "<s>inside</s> of <s> text",
    "zero\u200bwidth\u00a0nbsp", "▁literal▁", "ﬁ ligature Ω", "क़ i̇", "lone \ud83e surrogate", " ", "\n", "", "a",
];
/** What offsets must satisfy whatever the tokenizer: in order, inside, nothing of the text left out, and the bytes of a token those of its range. */
function checkOffsets(tokenizer, text, exact) {
    const { ids, start, end } = tokenizer.encode(text);
    let reached = 0;
    let from = 0;
    ids.forEach((id, t) => {
        const where = `${JSON.stringify(text)} token ${t} of ${ids}`;
        strict_1.default.ok(start[t] <= end[t] && end[t] <= text.length, where);
        if (start[t] === end[t])
            return; // put there by the tokenizer, not of the text
        strict_1.default.ok(start[t] >= from, where);
        strict_1.default.ok(start[t] <= reached, `${where}: text left out before it`);
        from = start[t];
        reached = Math.max(reached, end[t]);
        if (exact) {
            const range = Buffer.from(text.slice(start[t], end[t]));
            strict_1.default.ok(range.includes(Buffer.from(tokenizer.bytes(id))), `${where}: ${Buffer.from(tokenizer.bytes(id)).toString("hex")} in ${range.toString("hex")}`);
        }
    });
    strict_1.default.equal(reached, text.length, `${JSON.stringify(text)}: text left out at the end`);
}
for (const family of FAMILIES) {
    const folder = folderOf(family);
    if (!folder)
        continue;
    (0, node_test_1.test)(`${family}: ids of transformers, text back, offsets that cover the text`, () => {
        const tokenizer = (0, tokenizer_1.openTokenizer)(folder);
        strict_1.default.equal(tokenizer.vocabularySize, 320);
        for (const { text, ids, decoded } of golden(family).prompts) {
            const found = tokenizer.encode(text);
            strict_1.default.deepEqual([...found.ids], ids, text);
            strict_1.default.equal(tokenizer.decode(ids.filter((id) => !tokenizer.isSpecial(id))), decoded);
            checkOffsets(tokenizer, text, true);
        }
        const sentencePiece = json(family).model.byte_fallback === true;
        const normalises = json(family).normalizer?.type === "NFC";
        for (const text of HARD) {
            checkOffsets(tokenizer, text, !normalises && !(sentencePiece && text.includes("▁")));
            if (!sentencePiece)
                strict_1.default.equal(tokenizer.decode(tokenizer.encode(text).ids), Buffer.from(normalises ? text.normalize("NFC") : text).toString()); // lone surrogates become U+FFFD;
        }
    });
}
(0, node_test_1.test)("offsets of tokens within a character cover the whole character", () => {
    const { ids, start, end } = (0, tokenizer_1.openTokenizer)((0, node_path_1.join)(ORACLE, "models", "llama")).encode("a – 🤔b");
    strict_1.default.deepEqual([...start].map((from, t) => [from, end[t]]), [[0, 1], [1, 2], [2, 3], [2, 3], [2, 3], [3, 4], [4, 6], [4, 6], [4, 6], [4, 6], [6, 7]].slice(0, ids.length));
    strict_1.default.equal(end.at(-1), 7);
});
(0, node_test_1.test)("text that is normalised keeps the offsets of what was written", () => {
    const tokenizer = (0, tokenizer_1.openTokenizer)((0, node_path_1.join)(ORACLE, "models", "qwen2")); // NFC
    const text = "xe\u0301y";
    const { start, end } = tokenizer.encode(text);
    strict_1.default.deepEqual([...start].map((from, t) => text.slice(from, end[t])), ["x", "e\u0301", "e\u0301", "y"]);
});
(0, node_test_1.test)("special tokens in the text are one token each; they stand for their own names", () => {
    const tokenizer = (0, tokenizer_1.openTokenizer)((0, node_path_1.join)(ORACLE, "models", "llama"));
    const { ids, start, end } = tokenizer.encode("a<s>b");
    strict_1.default.deepEqual([...start], [0, 1, 4]);
    strict_1.default.deepEqual([...end], [1, 4, 5]);
    strict_1.default.ok(tokenizer.isSpecial(ids[1]) && !tokenizer.isSpecial(ids[0]));
    strict_1.default.equal(Buffer.from(tokenizer.bytes(ids[1])).toString(), "<s>");
    strict_1.default.equal(tokenizer.decode(ids), "a<s>b");
});
(0, node_test_1.test)("what a post-processor puts in front has offsets 0, 0; a space put in front covers nothing", () => {
    const tokenizer = (0, tokenizer_1.openTokenizer)(folderOf("mistral"));
    const { ids, start, end } = tokenizer.encode("The");
    strict_1.default.ok(tokenizer.isSpecial(ids[0]));
    strict_1.default.deepEqual([start[0], end[0]], [0, 0]);
    strict_1.default.equal(end.at(-1), 3);
    strict_1.default.equal(tokenizer.encode("").ids.length, 1);
});
(0, node_test_1.test)("an added token that swallows spaces: its own range, the spaces are no token's", () => {
    const spec = json("llama");
    spec.added_tokens.push({ id: 320, content: "<think>", special: false, lstrip: true, rstrip: true, normalized: false, single_word: false });
    const tokenizer = (0, tokenizer_1.makeTokenizer)(spec, {}, "test");
    const { ids, start, end } = tokenizer.encode("a  <think> \n b");
    strict_1.default.deepEqual([...ids].indexOf(320), 1);
    strict_1.default.deepEqual([start[1], end[1]], [3, 10]);
    strict_1.default.deepEqual([start[2], end[2]], [13, 14]);
});
(0, node_test_1.test)("a tokenizer that rewrites the text unaccountably is an error, not a wrong offset", () => {
    const spec = json("llama");
    spec.normalizer = { type: "Replace", pattern: { String: "cat" }, content: "dog" };
    const tokenizer = (0, tokenizer_1.makeTokenizer)(spec, {}, "folder/tokenizer.json");
    checkOffsets(tokenizer, "no such animal", true);
    strict_1.default.throws(() => tokenizer.encode("the cat sat"), (error) => error.name === "TextError" && /^folder\/tokenizer\.json: token \d+/.test(error.message));
});
(0, node_test_1.test)("a long text has the offsets of its repeated part, shifted", () => {
    const tokenizer = (0, tokenizer_1.openTokenizer)((0, node_path_1.join)(ORACLE, "models", "qwen2"));
    const unit = "Wait, 12 – naïve e\u0301\n";
    const one = tokenizer.encode(unit);
    const many = tokenizer.encode(unit.repeat(4000));
    strict_1.default.equal(many.ids.length, one.ids.length * 4000);
    for (let t = 0; t < many.ids.length; t++) {
        const shift = Math.floor(t / one.ids.length) * unit.length;
        strict_1.default.equal(many.start[t] - shift, one.start[t % one.ids.length]);
        strict_1.default.equal(many.end[t] - shift, one.end[t % one.ids.length]);
    }
});
(0, node_test_1.test)("a tokenizer that cannot be used is named, with the remedy", () => {
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-"));
    try {
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), (error) => error instanceof errors_1.ModelError && /tokenizer\.json: expected the tokenizer, found no such file/.test(error.message));
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "tokenizer.json"), "{");
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), (error) => error instanceof errors_1.ModelError && /expected JSON/.test(error.message));
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "tokenizer.json"), JSON.stringify({ ...json("llama"), model: { type: "WordPiece", vocab: {} } }));
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), (error) => error instanceof errors_1.ModelError && /found WordPiece/.test(error.message));
    }
    finally {
        (0, node_fs_1.rmSync)(folder, { recursive: true });
    }
    strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)((0, node_path_1.join)(ORACLE, "models", "llama")).bytes(320), RangeError);
});
/** A tokenizer of test/oracle with another chat template, and what else a test says of its configuration. */
const withTemplate = (chat_template, family = "mistral", extra = {}) => (0, tokenizer_1.makeTokenizer)(json(family), { bos_token: { __type: "AddedToken", content: "<s>" }, eos_token: "</s>", chat_template, ...extra }, "folder/tokenizer.json");
const TALK = [
    { role: "system", content: " Be brief. " }, { role: "user", content: "2 + 2?" },
    { role: "assistant", content: "<think>\neasy\n</think>\n\n4" }, { role: "user", content: "And “3”?" },
];
// Written for this test with the means that the families' own templates use; the texts are those of jinja2 3.1.6 with trim_blocks and
// lstrip_blocks, as transformers sets them.
const TEMPLATES = {
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
    (0, node_test_1.test)(`a conversation through a chat template ${family}`, () => {
        const date = new Date(2026, 4, 3);
        strict_1.default.equal(withTemplate(template).chat(TALK, { date }), whole);
        strict_1.default.equal(withTemplate([{ name: "default", template }, { name: "tool_use", template: "no" }]).chat(TALK, { date }), whole);
        const without = withTemplate(template).chat(TALK, { date, addGenerationPrompt: false });
        strict_1.default.ok(whole.startsWith(without) && without.length < whole.length);
    });
}
(0, node_test_1.test)("a template's own variables, its other templates, its refusal in its words", () => {
    strict_1.default.match(withTemplate(QWEN).chat(TALK, { variables: { enable_thinking: false } }), /assistant\n<think><\/think>$/);
    strict_1.default.match(withTemplate(QWEN).chat(TALK, { variables: { tools: [{ name: "f" }] } }), /^\[tools\]\[\{"name": "f"\}\]/);
    const named = withTemplate([{ name: "default", template: "one" }, { name: "rag", template: "two" }]);
    strict_1.default.equal(named.chat(TALK, { template: "rag" }), "two");
    strict_1.default.throws(() => named.chat(TALK, { template: "none" }), /^OptionError: template: expected "default" or "rag", found "none"/);
    const gemma = withTemplate(GEMMA);
    strict_1.default.throws(() => gemma.chat([TALK[1], TALK[1]]), /^TextError: .*found roles user, user: user and assistant must take turns/);
    strict_1.default.throws(() => gemma.chat([]), /^TextError: messages: expected at least one/);
    strict_1.default.throws(() => gemma.chat([{ role: "user" }]), /^TextError: messages: message 0: expected \{ role, content \}/);
    strict_1.default.throws(() => withTemplate("{% if %}").chat(TALK), (error) => ["ModelError", "TextError"].includes(error.name) && /chat template/.test(error.message));
    strict_1.default.throws(() => withTemplate({ a: 1 }), /^ModelError: .*chat_template: expected a text or a list/);
    strict_1.default.throws(() => withTemplate([{ name: "default" }]), /^ModelError/);
    strict_1.default.throws(() => withTemplate(undefined).chat(TALK), /^ModelError: folder\/tokenizer\.json: expected a chat template .* found none: this is a base model.*instruct or chat version/);
});
(0, node_test_1.test)("dates of a template: Python's directives, English names, the day asked for or today", () => {
    const all = withTemplate("{{ strftime_now('%A %a %B %b %d %-d %e %m %-m %y %Y %H %I %p %M %S %j %F %T %% %Q') }}");
    strict_1.default.equal(all.chat(TALK, { date: new Date(2026, 0, 5, 15, 4, 9) }), "Monday Mon January Jan 05 5  5 01 1 26 2026 15 03 PM 04 09 005 2026-01-05 15:04:09 % %Q");
    const before = new Date().getFullYear();
    const year = Number(withTemplate("{{ strftime_now('%Y') }}").chat(TALK));
    strict_1.default.ok(year >= before && year <= new Date().getFullYear());
    strict_1.default.equal(withTemplate("  {% if strftime_now is defined %}\nyes{% endif %}\n\n").chat(TALK), "yes", "blanks are taken away as without a date");
});
(0, node_test_1.test)("a chat has the beginning-of-text token once, though the tokenizer would put it there by itself", () => {
    const tokenizer = withTemplate(R1); // this tokenizer's post-processor adds <s>
    const text = tokenizer.chat(TALK);
    const { ids, start, end } = tokenizer.encode(text);
    strict_1.default.equal([...ids].filter((id) => id === 1).length, 1);
    strict_1.default.deepEqual([ids[0], start[0], end[0]], [1, 0, 3]);
    strict_1.default.equal(tokenizer.encode("<s><s>a").ids.filter((id) => id === 1).length, 2, "what is written is kept");
    const plain = tokenizer.encode("a");
    strict_1.default.deepEqual([plain.ids[0], plain.start[0], plain.end[0]], [1, 0, 0]);
});
(0, node_test_1.test)("chat_template.jinja beside the tokenizer goes before the configuration's", () => {
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-chat-"));
    try {
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "tokenizer.json"), JSON.stringify(json("llama")));
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder).chat(TALK), /found none: this is a base model/);
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "tokenizer_config.json"), JSON.stringify({ bos_token: "<s>", chat_template: "old" }));
        strict_1.default.equal((0, tokenizer_1.openTokenizer)(folder).chat(TALK), "old");
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "chat_template.jinja"), "{{ bos_token }}{{ messages[1]['content'] }}\n");
        strict_1.default.equal((0, tokenizer_1.openTokenizer)(folder).chat(TALK), "<s>2 + 2?");
    }
    finally {
        (0, node_fs_1.rmSync)(folder, { recursive: true });
    }
});
(0, node_test_1.test)("vocab.json and merges.txt are read as the tokenizer.json they come from", () => {
    const family = folderOf("gpt2") ? "gpt2" : "llama"; // both byte-level with GPT-2's split
    const whole = (0, tokenizer_1.openTokenizer)(folderOf(family));
    const { vocab, merges } = json(family).model;
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-gpt2-"));
    const write = (name, content) => (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, name), typeof content === "string" ? content : JSON.stringify(content));
    try {
        write("vocab.json", vocab);
        write("merges.txt", `#version: 0.2\n${merges.map((pair) => (typeof pair === "string" ? pair : pair.join(" "))).join("\n")}\n`);
        write("special_tokens_map.json", { bos_token: "<s>", eos_token: { content: "</s>" }, pad_token: "<pad>" });
        const tokenizer = (0, tokenizer_1.openTokenizer)(folder);
        strict_1.default.equal(tokenizer.vocabularySize, whole.vocabularySize);
        for (const text of [...HARD, ...golden(family).prompts.map((prompt) => prompt.text), "a<s>b</s>", "12345 it's  we'll"]) {
            strict_1.default.deepEqual(tokenizer.encode(text), whole.encode(text), text);
        }
        strict_1.default.ok(tokenizer.isSpecial(1) && !tokenizer.isSpecial(50));
        write("added_tokens.json", { "<think>": 320 });
        write("tokenizer_config.json", { tokenizer_class: "GPT2Tokenizer", bos_token: "<s>", add_bos_token: true, chat_template: "{{ bos_token }}x" });
        const more = (0, tokenizer_1.openTokenizer)(folder);
        strict_1.default.deepEqual([...more.encode("a<think>").ids], [1, ...whole.encode("a").ids, 320]);
        strict_1.default.equal(more.encode(more.chat(TALK)).ids[0], 1);
        write("merges.txt", "Ġ zzz\n");
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), /^ModelError: .*merges\.txt: line 1: expected two tokens of vocab\.json/);
        write("vocab.json", "[1.5]");
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), /^ModelError: .*vocab\.json: expected tokens with their ids/);
        write("tokenizer_config.json", { tokenizer_class: "Qwen2Tokenizer" });
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), /^ModelError: .*vocab\.json: expected the files of a GPT-2 tokenizer.* found those of Qwen2Tokenizer.*save_pretrained/);
        write("config.json", { model_type: "qwen2" });
        write("tokenizer_config.json", {});
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), /found those of qwen2/);
        (0, node_fs_1.rmSync)((0, node_path_1.join)(folder, "vocab.json"));
        write("tokenizer.model", "sentencepiece");
        strict_1.default.throws(() => (0, tokenizer_1.openTokenizer)(folder), /tokenizer\.json: expected the tokenizer, found no such file\..*tokenizer\.model alone is converted/);
    }
    finally {
        (0, node_fs_1.rmSync)(folder, { recursive: true });
    }
});
(0, node_test_1.test)("digits are split as tokenizer.json says, one by one or in threes; Python's transformers 5 rebuilds some of them otherwise", () => {
    const split = (spec) => {
        const tokenizer = (0, tokenizer_1.makeTokenizer)(spec, { tokenizer_class: "LlamaTokenizerFast" }, "test");
        const text = "x = 1234567";
        const { start, end } = tokenizer.encode(text);
        return [...start].map((from, t) => text.slice(from, end[t])).filter((piece) => /\d/.test(piece));
    };
    const spec = json("qwen2"); // \p{N}: each digit alone
    for (const number of ["12", "123", "1234", "12345", "123456", "1234567", "34", "45", "456", "4567"])
        spec.model.vocab[number] = Object.keys(spec.model.vocab).length;
    spec.model.merges.push(["1", "2"], ["12", "3"], ["4", "5"], ["45", "6"]);
    strict_1.default.deepEqual(split(spec), ["1", "2", "3", "4", "5", "6", "7"]);
    const threes = structuredClone(spec);
    threes.pre_tokenizer.pretokenizers[0].pattern.Regex = threes.pre_tokenizer.pretokenizers[0].pattern.Regex.replace("|\\p{N}|", "|\\p{N}{1,3}|");
    strict_1.default.deepEqual(split(threes), ["123", "456", "7"]);
});
//# sourceMappingURL=tokenizer.test.js.map