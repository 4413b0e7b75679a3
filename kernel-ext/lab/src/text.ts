import { textHtml, unpackText, type PackedText } from "../../../src/core/textview";
import { keysStay } from "./keys";
import { openLine, type Line } from "./kernel";
import { STATUS, type Drawn, type Host } from "./renderer";

interface Answer {
  text?: string;
  view?: PackedText;
  error?: string;
}

/** A text and its latents; where the kernel that showed it still listens, another text can be typed. */
export function drawText(node: HTMLElement, content: PackedText, host: Host): Drawn {
  const { live } = content;
  const body = (packed: PackedText): string => textHtml(unpackText(packed), { bytes: Infinity });
  if (!live) {
    node.innerHTML = body(content);
    return {};
  }
  node.innerHTML =
    `<label class="saelab-typed">text <textarea rows="1" spellcheck="false" placeholder="type a text: the kernel says which latents fire on it"></textarea></label>` +
    `<div class="saelab-answer">${body(content)}</div>${STATUS}`;
  const area = node.querySelector("textarea")!;
  const answer = node.querySelector(".saelab-answer")!;
  const status = node.querySelector("[role=status]")!;
  area.value = unpackText(content).tokens.join("");
  let line: Line | undefined;
  let waiting = 0;
  let asking = false; // what was asked has no answer yet

  const heard = ({ text, view, error }: Answer): void => {
    asking = false;
    if (error !== undefined) status.textContent = error;
    if (!view || text !== area.value) return; // something else has been typed since
    answer.innerHTML = body(view);
    status.textContent = "";
  };
  const ended = (): void => {
    line = undefined;
    if (asking) status.textContent = "The kernel does not know this text: run its cell again.";
    asking = false;
  };
  const ask = (): void => {
    line ??= openLine(host.widget, "saelab.text", { id: live }, heard as (data: unknown) => void, ended);
    if (!line) status.textContent = "No kernel to ask: start one, and run the cell again.";
    else if (!area.value) status.textContent = "";
    else {
      status.textContent = "reading …";
      asking = true;
      line.send({ text: area.value });
    }
  };
  area.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = window.setTimeout(ask, 250);
  });
  const stay = keysStay(node, (event) => event.target === area);
  return {
    keeps: (next) => (next as PackedText | undefined)?.live === live && (next as PackedText).tokens === content.tokens && JSON.stringify(next) === JSON.stringify(content),
    dispose() {
      clearTimeout(waiting);
      stay.dispose();
      line?.close();
    },
  };
}
