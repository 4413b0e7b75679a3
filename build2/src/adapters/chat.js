"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.CHAT_TEMPLATE_FILE = void 0;
exports.readTemplates = readTemplates;
exports.templatesOf = templatesOf;
exports.renderChat = renderChat;
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const errors_1 = require("../core/errors");
const strftime_1 = require("../core/strftime");
/** Chat templates: how a model was shown conversations, in Jinja, rendered by transformers.js. */
exports.CHAT_TEMPLATE_FILE = "chat_template.jinja";
/**
 * The templates of a checkpoint by name: chat_template.jinja, else chat_template of tokenizer_config.json, a text or
 * [{ name, template }]. A single one is "default".
 * @throws ModelError where they are something else
 */
function readTemplates(folder, config) {
    const file = (0, node_path_1.join)(folder, exports.CHAT_TEMPLATE_FILE);
    if ((0, node_fs_1.existsSync)(file))
        return { default: (0, node_fs_1.readFileSync)(file, "utf8") };
    return templatesOf(config, (0, node_path_1.join)(folder, "tokenizer_config.json"));
}
function templatesOf({ chat_template: found }, where) {
    if (found === undefined || found === null)
        return {};
    if (typeof found === "string")
        return { default: found };
    const isNamed = (entry) => typeof entry?.name === "string" && typeof entry?.template === "string";
    if (Array.isArray(found) && found.every(isNamed))
        return Object.fromEntries(found.map(({ name, template }) => [name, template]));
    throw new errors_1.ModelError(`${where}: chat_template: expected a text or a list of { name, template }, found ${JSON.stringify(found).slice(0, 80)}. Copy the file again from where the model came from.`);
}
/**
 * The text of a conversation.
 * @throws ModelError without a template; TextError when the template refuses the messages; OptionError
 */
function renderChat(renderer, templates, where, messages, options = {}) {
    const { addGenerationPrompt = true, template: name = "default", date = new Date(), variables = {} } = options;
    const names = Object.keys(templates);
    if (!names.length) {
        throw new errors_1.ModelError(`${where}: expected a chat template (chat_template in tokenizer_config.json, or ${exports.CHAT_TEMPLATE_FILE}), found none: this is a base model, which continues text. ` +
            `Write the prompt as plain text, or open the model's instruct or chat version.`);
    }
    if (!Object.hasOwn(templates, name))
        throw new errors_1.OptionError(`template: expected ${names.map((one) => JSON.stringify(one)).join(" or ")}, found ${JSON.stringify(name)}.`);
    if (!Array.isArray(messages) || !messages.length)
        throw new errors_1.TextError("messages: expected at least one { role, content }, found none.");
    messages.forEach((message, i) => {
        if (typeof message?.role !== "string" || typeof message.content !== "string") {
            throw new errors_1.TextError(`messages: message ${i}: expected { role, content } with two texts, found ${JSON.stringify(message)?.slice(0, 80)}.`);
        }
    });
    // strftime_now of transformers.js knows few directives, names months in the computer's language, and is always of today;
    // the newline goes with the block, so that the template begins where a template begins
    const dated = "{% set strftime_now = strftime_of_date %}\n";
    const text = templates[name];
    try {
        return renderer.apply_chat_template(messages, {
            ...variables,
            strftime_of_date: (format) => (0, strftime_1.strftime)(date, format),
            chat_template: text.includes("strftime_now") ? dated + text : text,
            add_generation_prompt: addGenerationPrompt,
            tokenize: false,
        });
    }
    catch (error) {
        const { message } = error;
        if (error instanceof SyntaxError)
            throw new errors_1.ModelError(`${where}: chat template: expected Jinja, found: ${message}. Copy the file again from where the model came from.`, { cause: error });
        throw new errors_1.TextError(`${where}: chat template: expected a conversation that it can write, found roles ${messages.map(({ role }) => role).join(", ")}: ${message}`, { cause: error });
    }
}
//# sourceMappingURL=chat.js.map