import type { Host } from "./renderer";

/** Pins and notes: kept in the output's metadata, under its MIME type, so that they are saved with the notebook. */
export interface KeptMarks {
  pinned: Set<number>; // latents
  notes: Map<number, string>; // latent → text
}

interface Kept {
  pinned?: unknown;
  notes?: unknown;
}

/**
 * A cell that runs again shows the same features in a new output, without metadata, also one whose old output this page never drew: "Restart and run all" of a
 * notebook just opened. So the browser keeps the marks too, by the features they are of.
 */
const place = (id: string): string => `saelab.marks.${id}`;
const held = new Map<string, Kept>(); // of the page's life, where the browser keeps nothing

function remember(id: string, kept: Kept | undefined): void {
  held.set(id, kept ?? {});
  try {
    if (kept) localStorage.setItem(place(id), JSON.stringify(kept));
    else localStorage.removeItem(place(id));
  } catch {} // full, or forbidden
}

function recalled(id: string): Kept {
  try {
    return held.get(id) ?? (JSON.parse(localStorage.getItem(place(id)) ?? "{}") as Kept);
  } catch {
    return {};
  }
}

const marksOf = ({ pinned, notes }: Kept): KeptMarks => ({
  pinned: new Set(Array.isArray(pinned) ? pinned.filter(Number.isInteger) : []),
  notes: new Map(Object.entries(notes && typeof notes === "object" ? notes : {}).filter(([, text]) => typeof text === "string").map(([latent, text]) => [Number(latent), text as string])),
});

/** Those of the output; of a fresh one those that its features had, which it gets at once, so that they are saved though nothing is changed. */
export function readMarks(id: string, host: Host): KeptMarks {
  const own = (host.model().metadata ?? {})[host.mimeType] as Kept | undefined;
  const marks = marksOf(own ?? recalled(id));
  if (own) remember(id, own);
  else if (marks.pinned.size || marks.notes.size) setTimeout(() => saveMarks(id, marks, host)); // not while it is drawn
  return marks;
}

/** Writes them into the output; the front end then marks the notebook as changed. */
export function saveMarks(id: string, { pinned, notes }: KeptMarks, { model, mimeType }: Host): void {
  const kept = pinned.size || notes.size ? { pinned: [...pinned].sort((a, b) => a - b), notes: Object.fromEntries(notes) } : undefined;
  remember(id, kept);
  const { data, metadata } = model();
  const { [mimeType]: _, ...rest } = metadata ?? {};
  model().setData({ data, metadata: kept ? { ...rest, [mimeType]: kept } : rest });
}
