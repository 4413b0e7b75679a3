/**
 * A long list of which only what is seen is in the page. Closed rows are all of one height; an open one is as high as it turns out, and guessed until then.
 */
export interface ListOptions {
  scroller: HTMLElement;
  /** Holds the rows, as high as all of them. */
  feed: HTMLElement;
  /** Height of a row that was not drawn yet. */
  guess(place: number): number;
  /** A row's element, complete but for its position. */
  draw(place: number, index: number, of: number): HTMLElement;
  /** Whether its height is that of its content. */
  varies(place: number): boolean;
}

export interface List {
  /** Shows these, in this order. */
  show(places: number[]): void;
  /** Draws a row anew, and finds its height. */
  redraw(place: number): void;
  /** All rows may have other heights. */
  reset(): void;
  /** Scrolls no further than needed for a row to be seen, and has it drawn. */
  reveal(place: number): HTMLElement | undefined;
  /** Kept in the page also when it is out of sight: it has the focus. */
  keep(place: number): void;
  element(place: number): HTMLElement | undefined;
  dispose(): void;
}

const AROUND = 300; // pixels drawn before they are seen

export function createList({ scroller, feed, guess, draw, varies }: ListOptions): List {
  let places: number[] = [];
  let index = new Map<number, number>();
  let tops = new Float64Array(1); // of each row, and the end
  let kept = -1;
  let frame = 0;
  let last = 0; // scroll position, which the page forgets while the output is taken out of it
  const heights = new Map<number, number>(); // of rows that were measured
  const rows = new Map<number, HTMLElement>(); // place → what is in the page

  const lay = (): void => {
    tops = new Float64Array(places.length + 1);
    for (let i = 0; i < places.length; i++) tops[i + 1] = tops[i] + (heights.get(places[i]) ?? guess(places[i]));
    feed.style.height = `${tops[places.length]}px`;
  };
  const at = (y: number): number => {
    let low = 0;
    let high = places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const position = (): void => {
    for (const [place, row] of rows) row.style.top = `${tops[index.get(place)!]}px`;
  };

  const drawn = (): void => {
    frame = 0;
    const height = scroller.clientHeight;
    if (!height) return; // not in the page
    const top = scroller.scrollTop;
    last = top;
    const from = at(top - AROUND);
    const to = Math.min(places.length, at(top + height + AROUND) + 1);
    const wanted = new Set(places.slice(from, to));
    if (index.has(kept)) wanted.add(kept);
    for (const [place, row] of rows) {
      if (wanted.has(place)) continue;
      row.remove();
      rows.delete(place);
    }
    const fresh: number[] = [];
    for (const place of [...wanted].sort((a, b) => index.get(a)! - index.get(b)!)) {
      if (rows.has(place)) continue;
      const row = draw(place, index.get(place)!, places.length);
      rows.set(place, row);
      fresh.push(place);
      const after = [...rows].filter(([other]) => index.get(other)! > index.get(place)!).sort(([a], [b]) => index.get(a)! - index.get(b)!)[0];
      feed.insertBefore(row, after?.[1] ?? null);
    }
    position();
    let above = 0;
    let changed = false;
    for (const place of fresh) {
      if (!varies(place)) continue;
      const measured = rows.get(place)!.offsetHeight;
      const before = heights.get(place) ?? guess(place);
      if (!measured || Math.abs(measured - before) < 0.5) continue;
      heights.set(place, measured);
      changed = true;
      if (tops[index.get(place)! + 1] <= top) above += measured - before;
    }
    if (!changed) return;
    lay();
    position();
    if (above) scroller.scrollTop = last = top + above; // what is being read stays where it is
    ask();
  };
  const ask = (): void => void (frame ||= requestAnimationFrame(drawn));
  const now = (): void => {
    cancelAnimationFrame(frame);
    drawn();
  };
  const clear = (): void => {
    for (const row of rows.values()) row.remove();
    rows.clear();
  };
  scroller.addEventListener("scroll", ask, { passive: true });
  const sizes = new ResizeObserver(() => {
    if (!scroller.clientHeight) return;
    if (last && !scroller.scrollTop) scroller.scrollTop = last;
    ask();
  });
  sizes.observe(scroller);

  return {
    show(wanted) {
      places = wanted;
      index = new Map(places.map((place, i) => [place, i]));
      clear();
      lay();
      scroller.scrollTop = last = 0;
      now();
    },
    redraw(place) {
      const row = rows.get(place);
      heights.delete(place);
      lay();
      row?.remove();
      rows.delete(place);
      now();
    },
    reset() {
      heights.clear();
      const first = places[at(scroller.scrollTop)];
      clear();
      lay();
      if (first !== undefined) scroller.scrollTop = last = tops[index.get(first)!];
      now();
    },
    reveal(place) {
      const i = index.get(place);
      if (i === undefined) return undefined;
      kept = place;
      for (let pass = 0; pass < 2; pass++) { // heights are known once the row is drawn
        const top = scroller.scrollTop;
        const height = scroller.clientHeight;
        if (tops[i] < top || tops[i + 1] - tops[i] > height) scroller.scrollTop = tops[i];
        else if (tops[i + 1] > top + height) scroller.scrollTop = tops[i + 1] - height;
        now();
      }
      return rows.get(place);
    },
    keep: (place) => void (kept = place),
    element: (place) => rows.get(place),
    dispose() {
      cancelAnimationFrame(frame);
      sizes.disconnect();
    },
  };
}
