import type { ChatMessage, ChatOptions } from "../core/types";
/** Chat templates: how a model was shown conversations, in Jinja, rendered by transformers.js. */
export declare const CHAT_TEMPLATE_FILE = "chat_template.jinja";
/** What is used of transformers.js. */
export interface Renderer {
    apply_chat_template(messages: object[], options: Record<string, unknown>): unknown;
}
type Templates = Record<string, string>;
/**
 * The templates of a checkpoint by name: chat_template.jinja, else chat_template of tokenizer_config.json, a text or
 * [{ name, template }]. A single one is "default".
 * @throws ModelError where they are something else
 */
export declare function readTemplates(folder: string, config: {
    chat_template?: unknown;
}): Templates;
export declare function templatesOf({ chat_template: found }: {
    chat_template?: unknown;
}, where: string): Templates;
/**
 * The text of a conversation.
 * @throws ModelError without a template; TextError when the template refuses the messages; OptionError
 */
export declare function renderChat(renderer: Renderer, templates: Templates, where: string, messages: ChatMessage[], options?: ChatOptions): string;
export {};
