import { documentHtml, firingOn, markOf, unpackDocument, type PackedDocument } from "../../../src/core/documentview";
import { short } from "../../../src/core/html";
import { visible } from "../../../src/core/token";
import { copyText } from "./clipboard";
import { keysStay } from "./keys";
import { STATUS, type Drawn } from "./renderer";

/** One document: pieces that fire are told under the pointer, and walked with the arrow keys. */
export function drawDocument(node: HTMLElement, content: PackedDocument): Drawn {
  const view = unpackDocument(content);
  node.innerHTML = `<button type="button" class="saelab-copy" title="copy as text">copy</button>${documentHtml(view, { bytes: Infinity, numbered: true })}${STATUS}`;
  const root = node.querySelector<HTMLElement>(".saelab-document")!;
  const text = root.querySelector<HTMLElement>("pre")!;
  const status = node.querySelector("[role=status]")!;
  Object.assign(text, { tabIndex: 0 });
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", `text of ${view.id}; arrow keys walk the tokens on which a latent fires`);
  const pieces = [...text.querySelectorAll<HTMLElement>("[data-piece]")];
  let at = -1;
  const tell = (piece: HTMLElement): void => {
    const i = Number(piece.dataset.piece);
    const firing = firingOn(view, i).map(({ place, of, value }) => `${markOf(place)} latent ${view.latents[place].latent}: ${short(value)} (${Math.round(100 * of)} %)`);
    status.textContent = `${visible(view.pieces[i])}  ${firing.join("  ")}`;
  };
  const walk = (to: number): void => {
    pieces[at]?.classList.remove("saelab-at");
    at = Math.min(pieces.length - 1, Math.max(0, to));
    const piece = pieces[at];
    if (!piece) return;
    piece.classList.add("saelab-at");
    piece.scrollIntoView({ block: "nearest" });
    tell(piece);
  };
  text.addEventListener("mouseover", (event) => {
    const piece = (event.target as Element).closest<HTMLElement>("[data-piece]");
    if (piece) tell(piece);
  });
  node.querySelector("button")!.addEventListener("click", async () => {
    status.textContent = (await copyText(root.innerText)) ? "copied as text" : "the browser does not allow copying";
  });
  const step: Record<string, number> = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 };
  return keysStay(node, (event) => {
    if (event.target !== text || !(event.key in step || event.key === "Home" || event.key === "End")) return false;
    event.preventDefault();
    walk(event.key === "Home" ? 0 : event.key === "End" ? pieces.length - 1 : at + step[event.key]);
    return true;
  });
}
