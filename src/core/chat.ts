import { leadOf } from "./batches";
import { OptionError, TextError } from "./errors";
import type { Document, Tokenizer } from "./types";

/** Documents as a user's messages, in a checkpoint's own format. */

export interface ChatFormat {
  system?: string; // none: the template's own, where it has one
  addGenerationPrompt?: boolean; // false: end with the user's turn, not with the opening of the model's
}

/** Stands for the message when the template is asked what it puts around one: two signs for private use, so that no template knows it. */
const PLACE = "\ue000message\uf8ff";

/**
 * How documents are put into the format: `text` becomes all that the model reads, `spans` move with what they label. The
 * beginning-of-text token is left out where the template writes it and the tokenizer puts it there itself: it would stand there twice.
 * @returns makes the formatted document out of one
 * @throws ModelError without a template, OptionError with one that does not write a message once
 * @throws TextError, from what is returned, when the template changes the text otherwise than by trimming it, and for a document
 *   with `prompt`: what a model wrote is no user's message
 */
export function asUserMessage(tokenizer: Tokenizer, { system, addGenerationPrompt = false }: ChatFormat): (document: Document) => Document {
  const format = (content: string): string => tokenizer.chat(
    [...(system === undefined ? [] : [{ role: "system", content: system }]), { role: "user", content }], { addGenerationPrompt });
  const around = format(PLACE).split(PLACE);
  if (around.length !== 2) {
    throw new OptionError(
      `chat: expected a template that writes the user's message once, found ${around.length - 1} times. ` +
      "Format the texts yourself and leave chat out.");
  }
  const [before, after] = around;
  const first = tokenizer.encode("a");
  const lead = tokenizer.decode(first.ids.subarray(0, leadOf(tokenizer, first)));
  const twice = lead && before.startsWith(lead) ? lead.length : 0;

  return (document) => {
    const { id, text, spans, prompt } = document;
    if (prompt !== undefined) {
      throw new TextError(
        `"${id}": expected a text without a prompt, to be a user's message, found one of which a model wrote the part from ${prompt} on. ` +
        "Leave chat out: what model.generate continues is harvested as it is.");
    }
    const whole = format(text);
    const body = whole.slice(before.length, Math.max(before.length, whole.length - after.length));
    const at = body ? text.indexOf(body) : -1;
    const blank = (part: string): boolean => !part.trim();
    if (at < 0 || whole !== before + body + after || !blank(text.slice(0, at)) || !blank(text.slice(at + body.length))) {
      throw new TextError(
        `"${id}": expected the chat template to write the text as it is, found that it makes ${JSON.stringify(shorten(whole))} of ${JSON.stringify(shorten(text))}. ` +
        "Offsets would not be known: format the texts yourself and leave chat out.");
    }
    const shift = before.length - twice - at;
    return {
      ...document,
      text: whole.slice(twice),
      spans: spans.flatMap((span) => {
        const start = Math.max(span.start, at);
        const end = Math.min(span.end, at + body.length);
        return start < end ? [{ ...span, start: start + shift, end: end + shift }] : []; // one of nothing but trimmed space is gone
      }),
    };
  };
}

const shorten = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text);
