/**
 * One handler for all tokens of a view: tells the token under the pointer, and its value, which is the title that the plain page shows.
 * @param told gets the line that holds the token
 */
export function onTokens(root: HTMLElement, told: (line: Element, token: string, value: string) => void): void {
  let last: Element | null = null;
  root.addEventListener("mouseover", (event) => {
    const token = (event.target as Element).closest("pre span[title][style*=background]");
    if (!token || token === last) return;
    last = token;
    const line = token.closest("pre > span");
    if (line) told(line, token.textContent ?? "", token.getAttribute("title")!);
  });
}
