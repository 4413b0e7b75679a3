"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.sha256 = exports.gitHash = exports.TOKEN = void 0;
exports.startHub = startHub;
const node_crypto_1 = require("node:crypto");
const node_http_1 = require("node:http");
exports.TOKEN = "hf_right";
const gitHash = (content) => (0, node_crypto_1.createHash)("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
exports.gitHash = gitHash;
const sha256 = (content) => (0, node_crypto_1.createHash)("sha256").update(content).digest("hex");
exports.sha256 = sha256;
/** @param page files a page of the tree */
async function startHub(repositories, page = 1000) {
    const counts = new Map();
    const hub = { endpoint: "", cdn: "", seen: [], fault: () => undefined, close: async () => { } };
    const listen = async (origin, answer) => {
        const server = (0, node_http_1.createServer)((request, response) => {
            const url = new URL(request.url, "http://x");
            const path = decodeURIComponent(url.pathname);
            const key = `${origin} ${request.method} ${path}`;
            const nth = counts.get(key) ?? 0;
            counts.set(key, nth + 1);
            const seen = { origin, method: request.method, path: path + url.search, headers: request.headers, status: 0, sent: 0 };
            hub.seen.push(seen);
            const fault = hub.fault({ origin, path, nth, range: request.headers.range });
            if (fault?.silent)
                return;
            const reply = replier(request, response, seen, fault);
            if (fault?.status || fault?.body !== undefined)
                reply(fault.status ?? 200, fault.headers ?? {}, Buffer.from(fault.body ?? ""));
            else
                answer(request, url, reply);
        });
        await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
        return [server, `http://127.0.0.1:${server.address().port}`];
    };
    const [cdnServer, cdn] = await listen("cdn", (_, url, reply) => {
        const hash = url.pathname.slice(1);
        const file = Object.values(repositories).flatMap(({ files }) => Object.values(files)).find(({ content }) => (0, exports.sha256)(content) === hash);
        if (!file)
            return reply(404, {}, Buffer.from("gone"));
        reply(200, { etag: `"cdn-${hash.slice(0, 8)}"`, "accept-ranges": "bytes" }, file.content);
    });
    const [hubServer, endpoint] = await listen("hub", (request, url, reply) => {
        const refuse = (status, code, message = code) => reply(status, { "x-error-code": code, "x-error-message": message }, Buffer.from(JSON.stringify({ error: message })));
        const parts = url.pathname.split("/").filter(Boolean).map(decodeURIComponent);
        const isApi = parts[0] === "api" && parts[1] === "models";
        const rest = isApi ? parts.slice(2) : parts;
        const verb = rest.findIndex((part) => ["revision", "tree", "resolve"].includes(part));
        const id = rest.slice(0, verb).join("/");
        const repository = repositories[id];
        const token = request.headers.authorization?.replace(/^Bearer /, "");
        if (token !== undefined && token !== exports.TOKEN)
            return reply(401, { "x-error-message": "Invalid credentials in Authorization header" }, Buffer.from("no"));
        if (!repository || verb < 0 || (repository.private && !token))
            return refuse(token ? 404 : 401, "RepoNotFound", "Repository not found");
        const revision = rest[verb + 1];
        const commit = repository.revisions[revision] ?? Object.values(repository.revisions).find((known) => known === revision);
        if (!commit)
            return refuse(404, "RevisionNotFound", `Invalid rev id: ${revision}`);
        const paths = Object.keys(repository.files).sort();
        if (rest[verb] === "revision")
            return reply(200, { "content-type": "application/json" }, Buffer.from(JSON.stringify({ id, sha: commit, siblings: paths.map((rfilename) => ({ rfilename })) })));
        if (rest[verb] === "tree") {
            const from = Number(url.searchParams.get("cursor") ?? 0);
            const entries = paths.slice(from, from + page).map((path) => {
                const { content, lfs } = repository.files[path];
                const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${(0, exports.sha256)(content)}\nsize ${content.length}\n`;
                return lfs
                    ? { type: "file", oid: (0, exports.gitHash)(Buffer.from(pointer)), size: content.length, lfs: { oid: (0, exports.sha256)(content), size: content.length, pointerSize: pointer.length }, path }
                    : { type: "file", oid: (0, exports.gitHash)(content), size: content.length, path };
            });
            const folders = from ? [] : [{ type: "directory", oid: "0".repeat(40), size: 0, path: "folder-of-none" }];
            const next = new URL(url.pathname + url.search, hub.endpoint);
            next.searchParams.set("cursor", String(from + page));
            return reply(200, { "content-type": "application/json", ...(from + page < paths.length ? { link: `<${next}>; rel="next"` } : {}) }, Buffer.from(JSON.stringify([...folders, ...entries])));
        }
        const path = rest.slice(verb + 2).join("/");
        const file = repository.files[path];
        if (repository.gated && !token)
            return refuse(401, "GatedRepo", `Access to model ${id} is restricted.`);
        if (!file)
            return refuse(404, "EntryNotFound", "Entry not found");
        if (!file.lfs)
            return reply(200, { "x-repo-commit": commit, etag: `"${(0, exports.gitHash)(file.content)}"`, "accept-ranges": "bytes" }, file.content);
        const hash = (0, exports.sha256)(file.content);
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
function replier(request, response, seen, fault) {
    return (status, headers, whole) => {
        let body = whole;
        const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
        const fresh = request.headers["if-range"] === undefined || request.headers["if-range"] === headers.etag;
        if (status === 200 && range && fresh && headers["accept-ranges"] && !fault?.noRange) {
            const from = Number(range[1]);
            if (from >= whole.length)
                [status, headers, body] = [416, { "content-range": `bytes */${whole.length}` }, Buffer.alloc(0)];
            else
                [status, headers, body] = [206, { ...headers, "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` }, whole.subarray(from)];
        }
        if (fault?.flip && body.length) {
            body = Buffer.from(body);
            body[body.length >> 1] ^= 1;
        }
        seen.status = status;
        response.writeHead(status, { ...headers, ...fault?.headers, "content-length": String(body.length) });
        if (request.method === "HEAD")
            return void response.end();
        const send = (piece) => {
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
            send(body.subarray(at, at + fault.drip));
            at += fault.drip;
        }, 20);
    };
}
//# sourceMappingURL=hub-server.js.map