import { type CellScope } from "./cell";
import type { Content, Message } from "./wire";
/** A cell asked for a line where nobody can type one. */
export declare class StdinError extends Error {
    name: string;
}
/** Declared for cells. */
export declare const INPUT_DECLARATIONS = "/** Asks the person at the notebook for a line of text; with password: true it is not shown as it is typed. */\ndeclare function input(prompt?: string, options?: { password?: boolean }): Promise<string>;\n";
export interface Input {
    input(prompt?: string, options?: {
        password?: boolean;
    }): Promise<string>;
    /** An input_reply. */
    replied(reply: Message): void;
}
/**
 * input(): a request on the stdin channel to the client whose cell asks; one at a time.
 * @param ask sends a message on stdin
 */
export declare function createInput({ scope, ask }: {
    scope: CellScope;
    ask: (parent: Message, type: string, content: Content) => string;
}): Input;
