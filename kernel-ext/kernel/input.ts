import { waitIn, type CellScope } from "./cell";
import type { Content, Message } from "./wire";

/** A cell asked for a line where nobody can type one. */
export class StdinError extends Error {
  override name = "StdinError";
}

/** Declared for cells. */
export const INPUT_DECLARATIONS = `\
/** Asks the person at the notebook for a line of text; with password: true it is not shown as it is typed. */
declare function input(prompt?: string, options?: { password?: boolean }): Promise<string>;
`;

export interface Input {
  input(prompt?: string, options?: { password?: boolean }): Promise<string>;
  /** An input_reply. */
  replied(reply: Message): void;
}

/**
 * input(): a request on the stdin channel to the client whose cell asks; one at a time.
 * @param ask sends a message on stdin
 */
export function createInput({ scope, ask }: {
  scope: CellScope; ask: (parent: Message, type: string, content: Content) => string;
}): Input {
  let question: { id: string; answer: (value: string) => void } | undefined;
  let last: Promise<unknown> = Promise.resolve();

  return {
    input(prompt = "", { password = false } = {}) {
      const cell = scope.current();
      const request = cell?.request;
      if (!cell || !request || request.content.allow_stdin !== true) {
        return Promise.reject(new StdinError("input: expected a front end where somebody can type, found one that allows no input (nbclient, nbconvert, papermill)"));
      }
      const asked = last.then(() => {
        const id = ask(request, "input_request", { prompt: String(prompt), password });
        return waitIn(cell, new Promise<string>((answer) => (question = { id, answer }))).finally(() => (question = undefined));
      });
      last = asked.catch(() => {});
      return asked;
    },
    replied({ content, parent }) {
      // The box of a question that was given up may still stand in the notebook. Some clients name no question.
      const asked = (parent as { msg_id?: string }).msg_id;
      if (asked === undefined || asked === question?.id) question?.answer(String(content.value ?? ""));
    },
  };
}
