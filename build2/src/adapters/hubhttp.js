"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.getJson = exports.Stopped = exports.Temporary = void 0;
exports.stopIfAsked = stopIfAsked;
exports.pause = pause;
exports.persist = persist;
exports.get = get;
const promises_1 = require("node:timers/promises");
const errors_1 = require("../core/errors");
const interrupt_1 = require("./interrupt");
const package_1 = require("./package");
/** A failure that may pass: no connection, too many requests, a server's own error, a body cut short. */
class Temporary extends Error {
    tries;
    after;
    /** @param tries how often it is worth another try @param after seconds the server wants to be left alone for */
    constructor(message, tries = Infinity, after) {
        super(message);
        this.tries = tries;
        this.after = after;
    }
}
exports.Temporary = Temporary;
/** Thrown at once wherever a stop was asked for; whoever knows what is kept says so. */
class Stopped extends Error {
}
exports.Stopped = Stopped;
const stopAsked = ({ signal }) => (0, interrupt_1.interrupted)() || signal?.aborted === true;
function stopIfAsked(connection) {
    if (stopAsked(connection))
        throw new Stopped();
}
/** Waits, in steps short enough for a stop. */
async function pause(seconds, connection) {
    for (const end = performance.now() + seconds * 1000;;) {
        stopIfAsked(connection);
        const left = end - performance.now();
        if (left <= 0)
            return;
        await (0, promises_1.setTimeout)(Math.min(left, 100));
    }
}
/**
 * Does the work again after a failure that may pass, later each time: delay · 2^n, of which a random half, or as long as the server said.
 * @param fruitful whether the last try came so far that the count begins anew
 * @throws HubError when the tries are used up; its cause is the last {@link Temporary}
 */
async function persist(connection, work, fruitful = () => false) {
    for (let tries = 0;; tries++) {
        try {
            return await work();
        }
        catch (error) {
            if (!(error instanceof Temporary))
                throw error;
            if (fruitful())
                tries = 0;
            if (tries >= Math.min(connection.retries, error.tries)) {
                throw new errors_1.HubError(`${error.message} Tried ${tries + 1} ${tries ? "times" : "time"}: try again later; what has come so far is kept.`, { cause: error });
            }
            const delay = connection.retryDelay * 2 ** tries * (0.5 + Math.random() / 2);
            await pause(Math.max(delay, error.after ?? 0), connection);
        }
    }
}
/**
 * One request. Redirects are followed; the token goes to the hub's own origin only, and not again after one elsewhere.
 * @param work gets the answer, which is closed when it is done
 * @param look sees the headers of each answer of the hub itself, before a redirect is followed
 * @throws Temporary, Stopped, HubError
 */
async function get(connection, url, asked, headers, work, look = () => { }) {
    const { endpoint, patience } = connection;
    const control = new AbortController();
    let heard = performance.now();
    let silent = false;
    const watch = setInterval(() => {
        silent = performance.now() - heard > patience * 1000;
        if (silent || stopAsked(connection))
            control.abort();
    }, 50);
    let target = new URL(url);
    /** What went wrong with the connection. */
    const trouble = (error) => {
        if (stopAsked(connection))
            return new Stopped();
        if (silent)
            return new Temporary(`${target.origin}: expected an answer, found none for ${patience} s.`);
        const cause = (error.cause ?? error);
        const code = cause.code ?? cause.message;
        if (/CERT|SELF_SIGNED|ERR_TLS|ERR_SSL/.test(code)) {
            return new errors_1.HubError(`${target.origin}: expected a certificate that this computer trusts, found ${code}. Behind a proxy of your own, name its certificate in NODE_EXTRA_CA_CERTS.`, { cause: error });
        }
        const there = /ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH/.test(code);
        return new Temporary(`${target.origin}: expected a connection, found ${code}.` +
            (there ? " Is the network up, and HF_ENDPOINT right? With HF_HUB_OFFLINE=1 only what is on disk is used." : ""), there ? 2 : undefined);
    };
    try {
        stopIfAsked(connection);
        let token = connection.token;
        const own = new URL(endpoint).origin;
        for (let hop = 0;; hop++) {
            if (target.origin !== own)
                token = undefined;
            const response = await fetch(target.href, {
                redirect: "manual",
                signal: control.signal,
                headers: { ...headers, "user-agent": `saelab/${package_1.version}`, "accept-encoding": "identity", ...(token ? { authorization: `Bearer ${token}` } : {}) },
            }).catch((error) => {
                throw trouble(error);
            });
            heard = performance.now();
            try {
                if (target.origin === own)
                    look(response.headers);
                const location = [301, 302, 303, 307, 308].includes(response.status) ? response.headers.get("location") : null;
                if (location !== null) {
                    if (hop >= 9)
                        throw new errors_1.HubError(`${url}: expected the file, found more than ${hop} redirects.`);
                    const next = URL.canParse(location, target.href) ? new URL(location, target) : undefined;
                    if (!next || !/^https?:$/.test(next.protocol) || (target.protocol === "https:" && next.protocol === "http:")) {
                        throw new errors_1.HubError(`${url}: expected a redirect to an https address, found ${JSON.stringify(location.slice(0, 200))}.`);
                    }
                    target = next;
                    continue;
                }
                if (response.status === 416)
                    return await work({ response, body: async function* () { } });
                if (!response.ok)
                    throw refusal(response, connection, target, asked);
                return await work({
                    response,
                    body: async function* () {
                        try {
                            for await (const piece of response.body ?? []) {
                                heard = performance.now();
                                yield piece;
                                heard = performance.now(); // the time that was ours
                            }
                        }
                        catch (error) {
                            throw trouble(error);
                        }
                    },
                });
            }
            finally {
                await response.body?.cancel().catch(() => { }); // what was not read
            }
        }
    }
    finally {
        clearInterval(watch);
    }
}
/** A whole JSON answer. @throws HubError where it is no JSON */
const getJson = (connection, url, asked) => persist(connection, () => get(connection, url, asked, { accept: "application/json" }, async ({ response, body }) => {
    const pieces = [];
    for await (const piece of body())
        pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    const announced = response.headers.get("content-length");
    if (announced !== null && !response.headers.has("content-encoding") && bytes.length < Number(announced)) {
        throw new Temporary(`${url}: expected ${announced} bytes, found that the answer ends after ${bytes.length}.`);
    }
    try {
        return { json: JSON.parse(bytes.toString("utf8")), link: response.headers.get("link") };
    }
    catch {
        throw new errors_1.HubError(`${url}: expected JSON, found ${JSON.stringify(bytes.toString("utf8").slice(0, 80))}. Is HF_ENDPOINT the hub, or does a proxy ask for a login?`);
    }
}));
exports.getJson = getJson;
/** Seconds until another try, from Retry-After (seconds or a date) or the hub's RateLimit (t=…); at most 5 minutes, the hub's window. */
function waitOf(headers) {
    const after = headers.get("retry-after");
    const date = after === null ? NaN : Date.parse(after);
    const seconds = after !== null && /^\s*\d+\s*$/.test(after) ? Number(after)
        : !Number.isNaN(date) ? (date - Date.now()) / 1000
            : Number(/\bt=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1] ?? NaN);
    return Number.isNaN(seconds) ? undefined : Math.min(300, Math.max(0, seconds));
}
/** An answer that is neither the file nor the list. */
function refusal(response, { endpoint, token, tokenFile }, target, { id, revision, file }) {
    const { status, headers } = response;
    const page = `${endpoint}/${id}`;
    const name = file ? `${id}: ${file}` : id;
    const said = headers.get("x-error-message")?.replace(/[^\x20-\x7e]/g, "").slice(0, 200);
    const found = `${status}${said ? ` (${said.replace(/\.$/, "")})` : ""}`;
    if (status === 408 || status === 429 || status >= 500) {
        const wait = waitOf(headers);
        const hint = status === 429 && !token ? " Requests with a token (HF_TOKEN) have a higher limit." : "";
        return new Temporary(`${name}: expected an answer from ${target.host}, found ${found}${status === 429 ? ": too many requests" : ""}.${hint}`, undefined, wait);
    }
    const give = `make a token at ${endpoint}/settings/tokens and put it into HF_TOKEN or into ${tokenFile}`;
    const code = headers.get("x-error-code");
    if (target.origin !== new URL(endpoint).origin) {
        return new Temporary(`${name}: expected the file from ${target.host}, where the hub sent us, found ${found}.`, 2); // a signed address that ran out is signed anew
    }
    if (code === "GatedRepo" || status === 403) {
        return new errors_1.HubError(`${name}: expected leave to download it, found ${found}: its owner asks for consent first. Sign in and accept the terms at ${page}; ` +
            (token ? "the token in use must be of that account and may read gated repositories." : `then ${give}.`));
    }
    if (code === "RevisionNotFound")
        return new errors_1.HubError(`${id}: expected the revision ${JSON.stringify(revision)}, found ${found}: there is none of that name. Branches and tags are listed at ${page}/tree/main.`);
    if (code === "EntryNotFound" || (status === 404 && file && code !== "RepoNotFound")) {
        return new errors_1.HubError(`${id}: expected the file ${file}, found ${found}: revision ${revision} has none of that name. Its files are listed at ${page}/tree/${revision}.`);
    }
    if (status === 401 && token) {
        return new errors_1.HubError(`${name}: expected leave to read it, found ${found}: the token in use is not valid, or may not read it. Check HF_TOKEN and ${tokenFile}, or ${give}.`);
    }
    if (status === 401) {
        return new errors_1.HubError(`${name}: expected a model at ${page}, found ${found}: there is none of that name, or it is private and no token was sent. Check the name; for a private model ${give}.`);
    }
    if (status === 404) {
        return new errors_1.HubError(`${name}: expected a model at ${page}, found ${found}: there is none of that name${token ? ", or the token in use may not see it" : `, or it is private: then ${give}`}. Check the name.`);
    }
    return new errors_1.HubError(`${name}: expected an answer from ${target.host}, found ${found}.`);
}
//# sourceMappingURL=hubhttp.js.map