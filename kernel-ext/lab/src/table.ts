import type { TableView } from "../../../src/core/featuretable";
import { packedHtml, type PackedTable } from "../../../src/core/noted";
import type { Drawn } from "./renderer";

const number = (value: unknown): number => (typeof value === "number" ? value : typeof value === "string" && /^(< )?[−-]?[\d.,]+/.test(value) ? parseFloat(value.replace("−", "-").replace(/[<,\s]/g, "")) : NaN);

/** Largest number first, then texts by the alphabet, then what is empty. */
function compare(a: TableView["rows"][number][number], b: typeof a): number {
  const [x, y] = [number(a), number(b)];
  if (!Number.isNaN(x) || !Number.isNaN(y)) return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : y - x;
  return Number(!a) - Number(!b) || String(a ?? "").localeCompare(String(b ?? ""), "en");
}

/** A table whose columns sort when their names are pressed: once, the other way, and as it came. */
export function drawTable(node: HTMLElement, { rows: packed, ...rest }: PackedTable): Drawn {
  const rows = JSON.parse(packed) as TableView["rows"];
  let by = -1;
  let way: 1 | -1 = 1;
  function draw(): void {
    const sorted = by < 0 ? rows : [...rows].sort((a, b) => way * compare(a[by], b[by]));
    node.innerHTML = packedHtml(rest, sorted);
    node.querySelectorAll("th").forEach((head, c) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${head.textContent}${c === by ? (way > 0 ? " ↓" : " ↑") : ""}` });
      head.setAttribute("aria-sort", c === by ? (way > 0 ? "descending" : "ascending") : "none");
      head.replaceChildren(button);
    });
    const part = node.querySelector("table + p"); // not all rows are here, and the order is of these
    if (part && by >= 0) part.textContent += ", sorted among themselves";
  }
  node.addEventListener("click", (event) => {
    const head = (event.target as Element).closest("th");
    if (!head) return;
    const c = [...head.parentElement!.children].indexOf(head);
    if (c !== by) [by, way] = [c, 1];
    else if (way === 1) way = -1;
    else [by, way] = [-1, 1];
    draw();
    node.querySelectorAll<HTMLElement>("th button")[c]?.focus();
  });
  node.classList.add("saelab-table");
  draw();
  return {};
}
