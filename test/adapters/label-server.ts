import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A language model's endpoint on this machine, that answers as it is told and keeps what it was asked. */
export interface LabelServer {
  endpoint: string;
  asked: { url: string; headers: IncomingMessage["headers"]; body: { model: string; messages: { role: string; content: string }[]; temperature: number; max_tokens: number } }[];
  close(): Promise<void>;
}

export type Reply = string | ((response: ServerResponse) => void);

/** @param reply to the n-th question: the text of an answer, or what is done with the response */
export async function labelServer(reply: (n: number, user: string) => Reply): Promise<LabelServer> {
  const asked: LabelServer["asked"] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(pieces).toString("utf8"));
      asked.push({ url: request.url!, headers: request.headers, body });
      const answer = reply(asked.length - 1, body.messages.at(-1).content);
      if (typeof answer === "string") json(200, { choices: [{ message: { role: "assistant", content: answer } }] })(response);
      else answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked,
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    }),
  };
}

export const json = (status: number, body: unknown, headers: Record<string, string> = {}) => (response: ServerResponse): void => {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
};
