import { setTimeout as sleep } from "node:timers/promises";
import { OptionError, ProviderError } from "../core/errors";
import type { ChatMessage } from "../core/types";
import { interrupted, stopIfInterrupted } from "./interrupt";
import { version } from "./package";

/** A language model that is asked about features. Only the endpoint that the user names is ever asked. */
export interface LabelProvider {
  /** How it is named in what was made with it; never a key. */
  name: string;
  /**
   * @returns the text of the answer
   * @throws ProviderError when there is none, tries included
   */
  complete(messages: ChatMessage[], options?: { maxTokens?: number }): Promise<string>;
}

export interface OpenAiOptions {
  /** Address of an API that speaks OpenAI's chat completions, with its version: "http://localhost:8000/v1", "https://api.openai.com/v1". */
  endpoint: string;
  model: string;
  key?: string; // none; sent to the endpoint's own origin only, and over http to this computer only
  temperature?: number; // 0: the same answer again, as far as the server keeps to it
  maxTokens?: number; // 2,000 of an answer: reasoning models think before it
  timeout?: number; // 120 s for an answer
  retries?: number; // 5 after the first try: of lost connections, 408, 429 and the server's own errors
  retryDelay?: number; // 1 s before the first of them, doubled each time, or as long as the server says
  headers?: Record<string, string>; // none: what a gateway wants besides; their values are kept as secret as the key
}

const LARGEST = 4 << 20; // bytes of an answer: more is no answer
const SHORTEST = 6; // characters of a header's value that may be a secret
const LONGEST_WAIT = 300; // seconds that a server may ask for

/** A failure that may pass. */
class Passing extends Error {
  /** @param after seconds the server wants to be left alone for */
  constructor(message: string, readonly after?: number) {
    super(message);
  }
}

/**
 * A provider over an OpenAI-compatible endpoint: llama.cpp, vLLM, Ollama, OpenRouter, OpenAI …
 * @throws OptionError for an address that is none, or a key that would travel in the open
 * @see https://platform.openai.com/docs/api-reference/chat
 */
export function openAiProvider(options: OpenAiOptions): LabelProvider {
  const { model, key, temperature = 0, maxTokens = 2_000, timeout = 120, retries = 5, retryDelay = 1, headers = {} } = options;
  const base = URL.canParse(String(options.endpoint)) ? new URL(options.endpoint) : undefined;
  if (!base || !/^https?:$/.test(base.protocol) || base.username || base.password || base.search || base.hash) {
    throw new OptionError(
      'openAiProvider: endpoint: expected an http or https address such as "http://localhost:8000/v1", without a name, a password or a query, ' +
      `found ${base ? JSON.stringify(`${base.protocol}//${base.host}${base.pathname} …`) : "none"}.`);
  }
  if (typeof model !== "string" || !model) throw new OptionError(`openAiProvider: model: expected a name that the endpoint knows, found ${JSON.stringify(model)}.`);
  if (key !== undefined && (typeof key !== "string" || !/^[\x21-\x7e]+$/.test(key)))
    throw new OptionError("openAiProvider: key: expected one word of printable characters, found something else. A line break may be left at its end.");
  const secret = Object.keys(headers).some((header) => /authorization|cookie|key|token|secret/i.test(header));
  if ((key || secret) && base.protocol === "http:" && !isHere(base.hostname)) {
    throw new OptionError(`openAiProvider: endpoint: expected https where a key is sent, found http to ${base.host}: it would be readable on the way. Take https, or leave the key out.`);
  }
  for (const [name, value, least] of [["timeout", timeout, 1e-3], ["retries", retries, 0], ["retryDelay", retryDelay, 0], ["maxTokens", maxTokens, 1]] as const) {
    if (!(Number.isFinite(value) && value >= least)) throw new OptionError(`openAiProvider: ${name}: expected a number from ${least} on, found ${value}.`);
  }
  const url = `${base.origin}${base.pathname.replace(/\/+$/, "")}/chat/completions`;
  const name = `${model} at ${base.host}`;
  const secrets = [...(key ? [key] : []), ...Object.values(headers).filter((value) => value.length >= SHORTEST)].sort((a, b) => b.length - a.length);
  const hidden = (text: string): string => secrets.reduce((shown, one) => shown.replaceAll(one, "•••"), text).replace(/[^\x21-\x7e\u00a1-\uffff]+/g, " ").slice(0, 300);
  const ask = (messages: ChatMessage[], most: number): Promise<string> => request(url, {
    name, hidden, timeout,
    headers: { ...headers, "content-type": "application/json", accept: "application/json", "user-agent": `saelab/${version}`, ...(key ? { authorization: `Bearer ${key}` } : {}) },
    body: JSON.stringify({ model, messages, temperature, max_tokens: most, stream: false }),
  });
  return {
    name,
    async complete(messages, { maxTokens: most = maxTokens } = {}) {
      for (let tries = 0; ; tries++) {
        try {
          return await ask(messages, most);
        } catch (error) {
          if (!(error instanceof Passing)) throw error;
          if (tries >= retries) throw new ProviderError(`${error.message} Tried ${tries + 1} ${tries ? "times" : "time"}: try again later, or give it longer: { timeout, retries }.`, { cause: error });
          await pause(Math.min(LONGEST_WAIT, Math.max(retryDelay * 2 ** tries * (0.5 + Math.random() / 2), error.after ?? 0)));
        }
      }
    },
  };
}

const isHere = (host: string): boolean => host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);

/** In steps short enough for a stop. */
async function pause(seconds: number): Promise<void> {
  for (const end = performance.now() + 1000 * seconds; ;) {
    stopIfInterrupted("The question was not asked again.");
    const left = end - performance.now();
    if (left <= 0) return;
    await sleep(Math.min(left, 100));
  }
}

interface Request {
  name: string;
  hidden: (text: string) => string;
  timeout: number;
  headers: Record<string, string>;
  body: string;
}

/** One try. @throws Passing, ProviderError, InterruptError */
async function request(url: string, { name, hidden, timeout, headers, body }: Request): Promise<string> {
  const control = new AbortController();
  const end = performance.now() + 1000 * timeout;
  const watch = setInterval(() => {
    if (interrupted() || performance.now() > end) control.abort();
  }, 50);
  try {
    stopIfInterrupted("No answer was waited for.");
    const response = await fetch(url, { method: "POST", redirect: "manual", signal: control.signal, headers, body }); // a redirect would take the key elsewhere
    const text = await bounded(response, name);
    if (!response.ok) throw refusal(response, text, url, name, hidden);
    return contentOf(text, name, hidden);
  } catch (error) {
    stopIfInterrupted("The answer was not waited for.");
    if (error instanceof Passing || error instanceof ProviderError) throw error;
    if (control.signal.aborted) throw new Passing(`${name}: expected an answer, found none after ${timeout} s.`);
    const cause = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
    const code = cause.code ?? cause.message;
    if (/CERT|SELF_SIGNED|ERR_TLS|ERR_SSL/.test(code)) {
      throw new ProviderError(`${name}: expected a certificate that this computer trusts, found ${code}. Behind a proxy of your own, name its certificate in NODE_EXTRA_CA_CERTS.`, { cause: error });
    }
    throw new Passing(`${name}: expected a connection, found ${hidden(String(code))}. Is the server running, and the endpoint right?`);
  } finally {
    clearInterval(watch);
  }
}

async function bounded(response: Response, name: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += (piece as Uint8Array).byteLength;
    if (size > LARGEST) {
      await response.body?.cancel().catch(() => {});
      throw new ProviderError(`${name}: expected an answer of at most ${LARGEST >> 20} MB, found more. Is the endpoint the API of a language model?`);
    }
    pieces.push(piece as Uint8Array);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** What the server says went wrong. */
function said(text: string): string {
  try {
    const { error, message, detail } = JSON.parse(text) as { error?: { message?: string } | string; message?: string; detail?: unknown };
    const found = (typeof error === "string" ? error : error?.message) ?? message ?? detail ?? "";
    return typeof found === "string" ? found : JSON.stringify(found);
  } catch {
    return "";
  }
}

function refusal(response: Response, text: string, url: string, name: string, hidden: (text: string) => string): Error {
  const { status, headers } = response;
  const why = hidden(said(text));
  const found = `${status}${why ? ` (${why.replace(/\.$/, "")})` : ""}`;
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const after = headers.get("retry-after");
    const date = after === null ? NaN : Date.parse(after);
    const seconds = after !== null && /^\s*\d+(\.\d+)?\s*$/.test(after) ? Number(after) : Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
    return new Passing(`${name}: expected an answer, found ${found}${status === 429 ? ": too many requests" : ""}.`, seconds);
  }
  if (status === 401 || status === 403) return new ProviderError(`${name}: expected leave to ask, found ${found}. Check the key: openAiProvider({ endpoint, model, key }).`);
  if (status === 404 || status === 405) return new ProviderError(`${name}: expected chat completions at ${url}, found ${found}. The endpoint ends with the API's version, such as /v1; and the model has to be one that it serves.`);
  if (status >= 300 && status < 400) return new ProviderError(`${name}: expected an answer, found a redirect (${status}), which is not followed. Name the address it leads to as the endpoint.`);
  return new ProviderError(`${name}: expected an answer, found ${found}.`);
}

function contentOf(text: string, name: string, hidden: (text: string) => string): string {
  let json: { choices?: { message?: { content?: unknown } }[]; error?: unknown };
  try {
    json = JSON.parse(text);
  } catch {
    throw new Passing(`${name}: expected JSON, found ${JSON.stringify(hidden(text).slice(0, 80))}.`);
  }
  const content = json?.choices?.[0]?.message?.content;
  if (typeof content === "string") return content;
  throw new Passing(`${name}: expected choices[0].message.content, found ${JSON.stringify(hidden(said(text) || text).slice(0, 120))}.`);
}
