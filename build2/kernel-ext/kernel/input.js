"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.INPUT_DECLARATIONS = exports.StdinError = void 0;
exports.createInput = createInput;
const cell_1 = require("./cell");
/** A cell asked for a line where nobody can type one. */
class StdinError extends Error {
    name = "StdinError";
}
exports.StdinError = StdinError;
/** Declared for cells. */
exports.INPUT_DECLARATIONS = `\
/** Asks the person at the notebook for a line of text; with password: true it is not shown as it is typed. */
declare function input(prompt?: string, options?: { password?: boolean }): Promise<string>;
`;
/**
 * input(): a request on the stdin channel to the client whose cell asks; one at a time.
 * @param ask sends a message on stdin
 */
function createInput({ scope, ask }) {
    let question;
    let last = Promise.resolve();
    return {
        input(prompt = "", { password = false } = {}) {
            const cell = scope.current();
            const request = cell?.request;
            if (!cell || !request || request.content.allow_stdin !== true) {
                return Promise.reject(new StdinError("input: expected a front end where somebody can type, found one that allows no input (nbclient, nbconvert, papermill)"));
            }
            const asked = last.then(() => {
                const id = ask(request, "input_request", { prompt: String(prompt), password });
                return (0, cell_1.waitIn)(cell, new Promise((answer) => (question = { id, answer }))).finally(() => (question = undefined));
            });
            last = asked.catch(() => { });
            return asked;
        },
        replied({ content, parent }) {
            // The box of a question that was given up may still stand in the notebook. Some clients name no question.
            const asked = parent.msg_id;
            if (asked === undefined || asked === question?.id)
                question?.answer(String(content.value ?? ""));
        },
    };
}
//# sourceMappingURL=input.js.map