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

/** Of the page's life: a cell that runs again shows the same features in a new output, without metadata. */
const remembered = new Map<string, KeptMarks>();

export function readMarks(id: string, { model, mimeType }: Host): KeptMarks {
  const { pinned, notes } = ((model().metadata ?? {})[mimeType] ?? {}) as Kept;
  const marks: KeptMarks = {
    pinned: new Set(Array.isArray(pinned) ? pinned.filter(Number.isInteger) : []),
    notes: new Map(Object.entries(notes && typeof notes === "object" ? notes : {}).filter(([, text]) => typeof text === "string").map(([latent, text]) => [Number(latent), text as string])),
  };
  const before = remembered.get(id);
  const fresh = !pinned && !notes && before !== undefined;
  const found = fresh ? { pinned: new Set(before.pinned), notes: new Map(before.notes) } : marks;
  remembered.set(id, found);
  return found;
}

/** Writes them into the output; the front end then marks the notebook as changed. */
export function saveMarks(id: string, { pinned, notes }: KeptMarks, { model, mimeType }: Host): void {
  remembered.set(id, { pinned, notes });
  const { data, metadata } = model();
  const { [mimeType]: _, ...rest } = metadata ?? {};
  const kept = { pinned: [...pinned].sort((a, b) => a - b), notes: Object.fromEntries(notes) };
  model().setData({ data, metadata: pinned.size || notes.size ? { ...rest, [mimeType]: kept } : rest });
}
