import { openBrowser, type PackedBrowser } from "../../../src/core/browser";
import { foundText, rowHtml, toolbarHtml } from "../../../src/core/browserhtml";
import { columnNamed, matching, ordered } from "../../../src/core/browserquery";
import type { HeatMapFeature } from "../../../src/core/heatmap";
import { heatMapText } from "../../../src/core/heatmap";
import { escapeHtml } from "../../../src/core/html";
import { visible } from "../../../src/core/token";
import { copyText } from "./clipboard";
import { keysStay } from "./keys";
import { createList } from "./list";
import { readMarks, saveMarks } from "./marks";
import { onTokens } from "./pointer";
import type { Drawn, Host } from "./renderer";

/** DOM shell of the feature browser: events, focus and positions. What is shown comes from core/browserhtml, what is found from core/browserquery. */

const CLOSED = 54; // pixels of a row that is not open, as the style sheet says
const LINE = 20; // of an example
let browsers = 0;

export function drawBrowser(node: HTMLElement, content: PackedBrowser, host: Host): Drawn {
  const browser = openBrowser(content);
  const id = `saelab-browser-${++browsers}`;
  let by = columnNamed(browser.columns, browser.sort)?.name ?? "";
  let reversed = false;
  let current = -1; // place of the row that keys act on
  const open = new Set<number>();
  let allOpen = false;
  const marks = readMarks(content.id, host);
  const isOpen = (place: number): boolean => allOpen !== open.has(place);
  const features = new Map<number, HeatMapFeature>(); // those that were drawn lately
  const featureAt = (place: number): HeatMapFeature => {
    let feature = features.get(place);
    if (!feature) {
      if (features.size > 200) features.clear();
      features.set(place, (feature = browser.feature(place)));
    }
    return feature;
  };

  node.innerHTML =
    `<div class="saelab-browser" id="${id}">${toolbarHtml(browser, by, id)}<div class="saelab-list"><div class="saelab-feed" role="feed" aria-label="features"></div></div>` +
    `<div class="saelab-status"><span role="status"></span><span class="saelab-notes">${browser.notes.map(escapeHtml).join(" ")}</span></div></div>`;
  const root = node.firstElementChild as HTMLElement;
  const one = <T extends HTMLElement>(selector: string): T => root.querySelector<T>(selector)!;
  const [search, select, way, pinnedOnly, help] = [one<HTMLInputElement>(".saelab-search"), one<HTMLSelectElement>("select"), one(".saelab-way"), one(".saelab-pinned"), one(".saelab-help")];
  const status = one("[role=status]");
  const feed = one(".saelab-feed");
  const say = (text: string): void => void (status.textContent = text);

  const list = createList({
    scroller: one(".saelab-list"),
    feed,
    varies: isOpen,
    guess: (place) => (isOpen(place) ? CLOSED + 80 + LINE * 12 : CLOSED),
    draw(place, index, of) {
      const row = document.createElement("article");
      const latent = browser.latents[place];
      row.className = isOpen(place) ? "saelab-feature saelab-opened" : "saelab-feature";
      row.tabIndex = place === current ? 0 : -1;
      row.dataset.place = String(place);
      row.setAttribute("aria-posinset", String(index + 1));
      row.setAttribute("aria-setsize", String(of));
      row.setAttribute("aria-labelledby", `${id}-${latent}`);
      row.innerHTML = rowHtml(browser, featureAt(place), { place, open: isOpen(place), pinned: marks.pinned.has(latent), note: marks.notes.get(latent), example: hits.get(place), sort: columnNamed(browser.columns, by), id });
      return row;
    },
  });

  let shown: number[] = [];
  let hits = new Map<number, number>(); // place → the example that has what was searched for
  let typed = 0;
  function find(): void {
    clearTimeout(typed);
    typed = 0;
    const reading = feed.contains(document.activeElement);
    const { places, unknown, example } = matching(browser, `${search.value}${pinnedOnly.getAttribute("aria-pressed") === "true" ? " is:pinned" : ""}`, marks);
    hits = example;
    shown = ordered(browser, places, by, reversed);
    current = shown[0] ?? -1;
    list.keep(current);
    list.show(shown);
    if (reading) go(current);
    say(foundText(browser, shown.length, unknown));
  }
  function counted(): void {
    one(".saelab-pins").textContent = String(marks.pinned.size);
    pinnedOnly.setAttribute("aria-label", `only the ${marks.pinned.size} pinned`);
  }

  const placeOf = (target: EventTarget | null): number => Number((target as Element | null)?.closest<HTMLElement>(".saelab-feature")?.dataset.place ?? -1);
  function go(place: number, focus = true): void {
    if (place < 0) return;
    const before = list.element(current);
    if (before) before.tabIndex = -1;
    current = place;
    const row = list.reveal(place);
    if (!row) return;
    row.tabIndex = 0;
    if (focus) row.focus({ preventScroll: true });
  }
  /** Draws the row anew; the focus stays in it. */
  function again(place: number): void {
    const focused = list.element(place)?.contains(document.activeElement);
    list.redraw(place);
    if (focused) list.element(place)?.focus({ preventScroll: true });
  }
  function toggle(place: number): void {
    if (place < 0) return;
    if (!open.delete(place)) open.add(place);
    again(place);
    go(place);
  }
  function pin(place: number): void {
    if (place < 0) return;
    const latent = browser.latents[place];
    if (!marks.pinned.delete(latent)) marks.pinned.add(latent);
    say(`latent ${latent} ${marks.pinned.has(latent) ? "pinned" : "no longer pinned"}`);
    counted();
    again(place);
    saveMarks(content.id, marks, host);
  }
  function note(place: number): void {
    if (place < 0) return;
    if (!isOpen(place)) toggle(place);
    list.element(place)?.querySelector("textarea")?.focus();
  }
  async function copy(place: number): Promise<void> {
    if (place < 0) return;
    const latent = browser.latents[place];
    const text = heatMapText({ features: [featureAt(place)], leftOut: marks.notes.has(latent) ? [`note: ${marks.notes.get(latent)}`] : [] }, { color: false });
    say((await copyText(text)) ? `latent ${latent} copied as text` : "the browser does not allow copying");
  }
  function openAll(): void {
    allOpen = !allOpen;
    open.clear();
    list.reset();
    say(allOpen ? "all open" : "all closed");
    go(current);
  }
  const step = (by: number): void => go(shown[Math.min(shown.length - 1, Math.max(0, shown.indexOf(current) + by))] ?? -1);

  const KEYS: Record<string, () => void> = {
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1), PageDown: () => step(8), PageUp: () => step(-8),
    g: () => go(shown[0] ?? -1), Home: () => go(shown[0] ?? -1), G: () => go(shown.at(-1) ?? -1), End: () => go(shown.at(-1) ?? -1),
    Enter: () => toggle(current), o: () => toggle(current), e: openAll, p: () => pin(current), n: () => note(current), c: () => void copy(current), "/": () => search.focus(),
    "?": () => help.click(),
  };
  const stay = keysStay(root, (event) => {
    const target = event.target as HTMLElement;
    if (target.matches("textarea, input, select")) {
      if (event.key === "Escape" || (event.key === "Enter" && target === search)) {
        event.preventDefault();
        if (typed) find(); // not yet, for what was typed last
        go(current);
      }
      return true;
    }
    if (target.matches("button") && (event.key === "Enter" || event.key === " ")) return true; // its own click
    const act = KEYS[event.key];
    if (!act) return false;
    event.preventDefault();
    act();
    return true;
  });

  root.addEventListener("click", (event) => {
    const target = event.target as Element;
    const place = placeOf(target);
    if (target.closest(".saelab-pin")) pin(place);
    else if (target.closest(".saelab-open") || (target.closest(".saelab-row") && !isOpen(place)) || (place >= 0 && !isOpen(place) && !getSelection()?.toString())) toggle(place);
    else if (target.closest(".saelab-way")) {
      reversed = !reversed;
      way.setAttribute("aria-pressed", String(reversed));
      way.textContent = reversed ? "↑" : "↓";
      find();
    } else if (target.closest(".saelab-pinned")) {
      pinnedOnly.setAttribute("aria-pressed", String(pinnedOnly.getAttribute("aria-pressed") !== "true"));
      find();
    } else if (target.closest(".saelab-help")) {
      const helped = one(".saelab-helped");
      helped.hidden = !helped.hidden;
      help.setAttribute("aria-expanded", String(!helped.hidden));
    } else if (place >= 0 && !target.closest("textarea, summary")) {
      const selecting = getSelection()?.toString();
      go(place, !selecting);
    }
  });
  root.addEventListener("focusin", (event) => {
    const place = placeOf(event.target);
    if (place < 0 || place === current) return;
    const before = list.element(current);
    if (before) before.tabIndex = -1;
    current = place;
    list.keep(place);
    (list.element(place) as HTMLElement).tabIndex = 0;
  });
  search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = window.setTimeout(find, 120);
  });
  select.addEventListener("change", () => {
    by = select.value;
    find();
  });
  let saving = 0;
  root.addEventListener("input", (event) => {
    const area = event.target as HTMLElement;
    if (!(area instanceof HTMLTextAreaElement)) return;
    const latent = browser.latents[placeOf(area)];
    if (area.value.trim()) marks.notes.set(latent, area.value);
    else marks.notes.delete(latent);
    clearTimeout(saving);
    saving = window.setTimeout(() => saveMarks(content.id, marks, host), 400);
  });
  onTokens(feed, (line, token, value) => {
    const { max } = featureAt(placeOf(line));
    say(`${visible(token)}  ${value}${Number(value.replaceAll(",", "").replace("−", "-")) <= max ? ` (${Math.round((100 * Number(value.replaceAll(",", ""))) / max)} % of its maximum)` : ""}  ${line.lastElementChild?.getAttribute("title") ?? ""}`);
  });

  counted();
  find();
  return {
    keeps: (next) => {
      const other = next as PackedBrowser | undefined;
      return other?.version === 1 && other.id === content.id && other.latents === content.latents && other.tokens === content.tokens && JSON.stringify(other.columns) === JSON.stringify(content.columns);
    },
    dispose() {
      clearTimeout(typed);
      clearTimeout(saving);
      stay.dispose();
      list.dispose();
    },
  };
}
