import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A hub on this computer, with the endpoints of huggingface.co that a download needs: api/models/…/revision, …/tree in pages,
 * resolve, and a second origin from which the large files come. Faults are put in by a function that sees each request.
 */

export interface FakeRepository {
  /** Branch or tag to commit. */
  revisions: Record<string, string>;
  /** All commits have the same files. */
  files: Record<string, { content: Buffer; lfs?: boolean }>;
  private?: boolean;
  gated?: boolean;
}

/** What goes wrong with one answer. */
export interface Fault {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** Bytes after which the connection is torn. */
  cut?: number;
  /** Answers 200 with the whole file, whatever range was asked for. */
  noRange?: boolean;
  /** One byte is another. */
  flip?: boolean;
  /** So many bytes every 20 ms. */
  drip?: number;
  /** Says nothing. */
  silent?: boolean;
}

export interface Seen {
  origin: "hub" | "cdn";
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  status: number;
  /** Bytes of the body that were written. */
  sent: number;
}

export const TOKEN = "hf_right";
export const gitHash = (content: Buffer): string => createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
export const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

export interface FakeHub {
  endpoint: string;
  cdn: string;
  seen: Seen[];
  /** Called for each request; `nth` counts those of the same path from 0. */
  fault: (request: { origin: "hub" | "cdn"; path: string; nth: number; range?: string }) => Fault | undefined;
  close(): Promise<void>;
}

/** @param page files a page of the tree */
export async function startHub(repositories: Record<string, FakeRepository>, page = 1000): Promise<FakeHub> {
  const counts = new Map<string, number>();
  const hub: FakeHub = { endpoint: "", cdn: "", seen: [], fault: () => undefined, close: async () => {} };

  const listen = async (origin: "hub" | "cdn", answer: (request: IncomingMessage, url: URL, reply: Reply) => void): Promise<[Server, string]> => {
    const server = createServer((request, response) => {
      const url = new URL(request.url!, "http://x");
      const path = decodeURIComponent(url.pathname);
      const key = `${origin} ${request.method} ${path}`;
      const nth = counts.get(key) ?? 0;
      counts.set(key, nth + 1);
      const seen: Seen = { origin, method: request.method!, path: path + url.search, headers: request.headers, status: 0, sent: 0 };
      hub.seen.push(seen);
      const fault = hub.fault({ origin, path, nth, range: request.headers.range });
      if (fault?.silent) return;
      const reply = replier(request, response, seen, fault);
      if (fault?.status || fault?.body !== undefined) reply(fault.status ?? 200, fault.headers ?? {}, Buffer.from(fault.body ?? ""));
      else answer(request, url, reply);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return [server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`];
  };

  const [cdnServer, cdn] = await listen("cdn", (_, url, reply) => {
    const hash = url.pathname.slice(1);
    const file = Object.values(repositories).flatMap(({ files }) => Object.values(files)).find(({ content }) => sha256(content) === hash);
    if (!file) return reply(404, {}, Buffer.from("gone"));
    reply(200, { etag: `"cdn-${hash.slice(0, 8)}"`, "accept-ranges": "bytes" }, file.content);
  });

  const [hubServer, endpoint] = await listen("hub", (request, url, reply) => {
    const refuse = (status: number, code: string, message = code): void => reply(status, { "x-error-code": code, "x-error-message": message }, Buffer.from(JSON.stringify({ error: message })));
    const parts = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
    const isApi = parts[0] === "api" && parts[1] === "models";
    const rest = isApi ? parts.slice(2) : parts;
    const verb = rest.findIndex((part) => ["revision", "tree", "resolve"].includes(part));
    const id = rest.slice(0, verb).join("/");
    const repository = repositories[id];
    const token = request.headers.authorization?.replace(/^Bearer /, "");
    if (token !== undefined && token !== TOKEN) return reply(401, { "x-error-message": "Invalid credentials in Authorization header" }, Buffer.from("no"));
    if (!repository || verb < 0 || (repository.private && !token)) return refuse(token ? 404 : 401, "RepoNotFound", "Repository not found");
    const revision = rest[verb + 1];
    const commit = repository.revisions[revision] ?? Object.values(repository.revisions).find((known) => known === revision);
    if (!commit) return refuse(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    const paths = Object.keys(repository.files).sort();

    if (rest[verb] === "revision") return reply(200, { "content-type": "application/json" }, Buffer.from(JSON.stringify({ id, sha: commit, siblings: paths.map((rfilename) => ({ rfilename })) })));
    if (rest[verb] === "tree") {
      const from = Number(url.searchParams.get("cursor") ?? 0);
      const entries = paths.slice(from, from + page).map((path) => {
        const { content, lfs } = repository.files[path];
        const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(content)}\nsize ${content.length}\n`;
        return lfs
          ? { type: "file", oid: gitHash(Buffer.from(pointer)), size: content.length, lfs: { oid: sha256(content), size: content.length, pointerSize: pointer.length }, path }
          : { type: "file", oid: gitHash(content), size: content.length, path };
      });
      const folders = from ? [] : [{ type: "directory", oid: "0".repeat(40), size: 0, path: "folder-of-none" }];
      const next = new URL(url.pathname + url.search, hub.endpoint);
      next.searchParams.set("cursor", String(from + page));
      return reply(200, { "content-type": "application/json", ...(from + page < paths.length ? { link: `<${next}>; rel="next"` } : {}) }, Buffer.from(JSON.stringify([...folders, ...entries])));
    }
    const path = rest.slice(verb + 2).join("/");
    const file = repository.files[path];
    if (repository.gated && !token) return refuse(401, "GatedRepo", `Access to model ${id} is restricted.`);
    if (!file) return refuse(404, "EntryNotFound", "Entry not found");
    if (!file.lfs) return reply(200, { "x-repo-commit": commit, etag: `"${gitHash(file.content)}"`, "accept-ranges": "bytes" }, file.content);
    const hash = sha256(file.content);
    reply(302, {
      "x-repo-commit": commit, "x-linked-etag": `"${hash}"`, "x-linked-size": String(file.content.length), location: `${hub.cdn}/${hash}?signature=1`,
    }, Buffer.from("Found"));
  });

  hub.endpoint = endpoint;
  hub.cdn = cdn;
  hub.close = async () => {
    for (const server of [hubServer, cdnServer]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  };
  return hub;
}

type Reply = (status: number, headers: Record<string, string>, body: Buffer) => void;

function replier(request: IncomingMessage, response: ServerResponse, seen: Seen, fault: Fault | undefined): Reply {
  return (status, headers, whole) => {
    let body = whole;
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
    const fresh = request.headers["if-range"] === undefined || request.headers["if-range"] === headers.etag;
    if (status === 200 && range && fresh && headers["accept-ranges"] && !fault?.noRange) {
      const from = Number(range[1]);
      if (from >= whole.length) [status, headers, body] = [416, { "content-range": `bytes */${whole.length}` }, Buffer.alloc(0)];
      else [status, headers, body] = [206, { ...headers, "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` }, whole.subarray(from)];
    }
    if (fault?.flip && body.length) {
      body = Buffer.from(body);
      body[body.length >> 1] ^= 1;
    }
    seen.status = status;
    response.writeHead(status, { ...headers, ...fault?.headers, "content-length": String(body.length) });
    if (request.method === "HEAD") return void response.end();
    const send = (piece: Buffer): void => {
      seen.sent += piece.length;
      response.write(piece);
    };
    if (fault?.cut !== undefined) {
      send(body.subarray(0, fault.cut));
      return void setTimeout(() => response.destroy(), 30); // what was written has gone out by then
    }
    if (!fault?.drip) {
      send(body);
      return void response.end();
    }
    let at = 0;
    const timer = setInterval(() => {
      if (response.destroyed || at >= body.length) {
        clearInterval(timer);
        return void response.end();
      }
      send(body.subarray(at, at + fault.drip!));
      at += fault.drip!;
    }, 20);
  };
}
