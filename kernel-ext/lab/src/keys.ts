/**
 * Keys typed in a view are the view's: the notebook's own would delete a cell at "d d". Those with Ctrl, Alt or Meta, Tab, and Escape where the view has no use for it, go on.
 * @param act returns whether it was the view's
 */
export function keysStay(root: HTMLElement, act: (event: KeyboardEvent) => boolean): { dispose(): void } {
  const foreign = (event: KeyboardEvent): boolean => event.ctrlKey || event.altKey || event.metaKey || event.key === "Tab";
  const pressed = (event: KeyboardEvent): void => {
    if (foreign(event)) return;
    if (act(event) || event.key !== "Escape") event.stopPropagation();
  };
  // Notebook takes keys on their way down, unless the very element that has the focus says that they are no shortcuts
  const before = (event: KeyboardEvent): void => {
    if (root.contains(event.target as Node)) (event.target as Element).toggleAttribute("data-lm-suppress-shortcuts", !foreign(event) && event.key !== "Escape");
  };
  root.addEventListener("keydown", pressed);
  window.addEventListener("keydown", before, true);
  return { dispose: () => window.removeEventListener("keydown", before, true) };
}
