/** Requests to the hub: redirects followed by hand, failures that pass tried again, refusals put into words. */
export interface Connection {
    /** Address of the hub, without a slash at its end. */
    endpoint: string;
    token?: string;
    /** Where a token was looked for: what an error names. */
    tokenFile: string;
    /** Tries after the first, of one request and while nothing comes of them. */
    retries: number;
    /** Seconds before the first of them; doubled each time. */
    retryDelay: number;
    /** Seconds without a byte after which a request is given up and tried again. */
    patience: number;
    signal?: AbortSignal;
}
/** What a request is for: words of an error. */
export interface Asked {
    id: string;
    revision: string;
    file?: string;
}
/** A failure that may pass: no connection, too many requests, a server's own error, a body cut short. */
export declare class Temporary extends Error {
    readonly tries: number;
    readonly after?: number | undefined;
    /** @param tries how often it is worth another try @param after seconds the server wants to be left alone for */
    constructor(message: string, tries?: number, after?: number | undefined);
}
/** Thrown at once wherever a stop was asked for; whoever knows what is kept says so. */
export declare class Stopped extends Error {
}
export declare function stopIfAsked(connection: Connection): void;
/** Waits, in steps short enough for a stop. */
export declare function pause(seconds: number, connection: Connection): Promise<void>;
/**
 * Does the work again after a failure that may pass, later each time: delay · 2^n, of which a random half, or as long as the server said.
 * @param fruitful whether the last try came so far that the count begins anew
 * @throws HubError when the tries are used up; its cause is the last {@link Temporary}
 */
export declare function persist<T>(connection: Connection, work: () => Promise<T>, fruitful?: () => boolean): Promise<T>;
export interface Answer {
    response: Response;
    /** Bytes as they come; throws {@link Temporary} when the connection breaks, {@link Stopped} when a stop was asked for. */
    body(): AsyncGenerator<Uint8Array>;
}
/**
 * One request. Redirects are followed; the token goes to the hub's own origin only, and not again after one elsewhere.
 * @param work gets the answer, which is closed when it is done
 * @param look sees the headers of each answer of the hub itself, before a redirect is followed
 * @throws Temporary, Stopped, HubError
 */
export declare function get<T>(connection: Connection, url: string, asked: Asked, headers: Record<string, string>, work: (answer: Answer) => Promise<T>, look?: (headers: Headers) => void): Promise<T>;
/** A whole JSON answer. @throws HubError where it is no JSON */
export declare const getJson: (connection: Connection, url: string, asked: Asked) => Promise<{
    json: unknown;
    link: string | null;
}>;
