import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError, OptionError, TextError } from "../core/errors";
import { strftime } from "../core/strftime";
import type { ChatMessage, ChatOptions } from "../core/types";

/** Chat templates: how a model was shown conversations, in Jinja, rendered by transformers.js. */

export const CHAT_TEMPLATE_FILE = "chat_template.jinja";

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
export function readTemplates(folder: string, config: { chat_template?: unknown }): Templates {
  const file = join(folder, CHAT_TEMPLATE_FILE);
  if (existsSync(file)) return { default: readFileSync(file, "utf8") };
  return templatesOf(config, join(folder, "tokenizer_config.json"));
}

export function templatesOf({ chat_template: found }: { chat_template?: unknown }, where: string): Templates {
  if (found === undefined || found === null) return {};
  if (typeof found === "string") return { default: found };
  const isNamed = (entry: any): boolean => typeof entry?.name === "string" && typeof entry?.template === "string";
  if (Array.isArray(found) && found.every(isNamed)) return Object.fromEntries(found.map(({ name, template }) => [name, template]));
  throw new ModelError(`${where}: chat_template: expected a text or a list of { name, template }, found ${JSON.stringify(found).slice(0, 80)}. Copy the file again from where the model came from.`);
}

/**
 * The text of a conversation.
 * @throws ModelError without a template; TextError when the template refuses the messages; OptionError
 */
export function renderChat(renderer: Renderer, templates: Templates, where: string, messages: ChatMessage[], options: ChatOptions = {}): string {
  const { addGenerationPrompt = true, template: name = "default", date = new Date(), variables = {} } = options;
  const names = Object.keys(templates);
  if (!names.length) {
    throw new ModelError(
      `${where}: expected a chat template (chat_template in tokenizer_config.json, or ${CHAT_TEMPLATE_FILE}), found none: this is a base model, which continues text. ` +
      `Write the prompt as plain text, or open the model's instruct or chat version.`);
  }
  if (!Object.hasOwn(templates, name)) throw new OptionError(`template: expected ${names.map((one) => JSON.stringify(one)).join(" or ")}, found ${JSON.stringify(name)}.`);
  if (!Array.isArray(messages) || !messages.length) throw new TextError("messages: expected at least one { role, content }, found none.");
  messages.forEach((message, i) => {
    if (typeof message?.role !== "string" || typeof message.content !== "string") {
      throw new TextError(`messages: message ${i}: expected { role, content } with two texts, found ${JSON.stringify(message)?.slice(0, 80)}.`);
    }
  });
  // strftime_now of transformers.js knows few directives, names months in the computer's language, and is always of today;
  // the newline goes with the block, so that the template begins where a template begins
  const dated = "{% set strftime_now = strftime_of_date %}\n";
  const text = templates[name];
  try {
    return renderer.apply_chat_template(messages, {
      ...variables,
      strftime_of_date: (format: string) => strftime(date, format),
      chat_template: text.includes("strftime_now") ? dated + text : text,
      add_generation_prompt: addGenerationPrompt,
      tokenize: false,
    }) as string;
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof SyntaxError) throw new ModelError(`${where}: chat template: expected Jinja, found: ${message}. Copy the file again from where the model came from.`, { cause: error });
    throw new TextError(`${where}: chat template: expected a conversation that it can write, found roles ${messages.map(({ role }) => role).join(", ")}: ${message}`, { cause: error });
  }
}
