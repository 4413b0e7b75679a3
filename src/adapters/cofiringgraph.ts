import { cofiringFigure, graphAround, strongestPairs, type Graph } from "../core/cofiringgraph";
import { OptionError } from "../core/errors";
import { DENSE } from "../core/measure";
import { textColumn } from "./columns";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { requireLatents } from "./latents";
import { inPieces } from "./pieces";
import { plotted } from "./plots";
import type { Shown } from "./show";

export interface GraphOptions {
  partners?: number; // 5 latents that are shown beside each one that was asked for
  pairs?: number; // 80 of the strongest, where no latents are asked for
  dense?: boolean; // false: of all pairs those are passed over in which a latent fires on more than a tenth of the rows
}

const MOST = 200; // latents that are asked for: more is a thicket
const TICKS = 400;
const STEP = 10; // between two looks at the interrupt
const STOPPED = "No graph was made: ask again.";

/**
 * Latents that fire on the same rows, as a graph: those asked for and their partners, or the strongest pairs of all. A node is larger the more often it
 * fires; a line is thicker the larger the share of common rows. The same features give the same picture.
 * @returns shows itself as `trainingCurve` does
 * @throws OptionError for an unknown latent, too many, or numbers out of range; InterruptError
 */
export async function cofiringGraph(features: Features, latents?: number[], { partners = 5, pairs = 80, dense = false }: GraphOptions = {}): Promise<Shown> {
  for (const [name, value, most] of [["partners", partners, 16], ["pairs", pairs, 1000]] as const)
    if (!Number.isSafeInteger(value) || value < 1 || value > most) throw new OptionError(`cofiringGraph: ${name}: expected a whole number from 1 to ${most}, found ${value}.`);
  if (latents && (!latents.length || latents.length > MOST)) throw new OptionError(`cofiringGraph: latents: expected 1 to ${MOST}, found ${latents.length}.`);
  requireLatents(latents ?? [], features.count, features.path);
  const { density } = features.statistics;
  const label = textColumn(features, "label");
  const facts = (latent: number): { density: number; label?: string } => ({ density: density[latent], ...(label(latent) ? { label: label(latent) } : {}) });
  const asked = latents ? [...new Set(latents)] : undefined;
  const graph = asked ? graphAround(asked, features.together, partners, facts) : await graphOfAll(features, pairs, dense, facts);
  return plotted(cofiringFigure(graph, await placed(graph)));
}

async function graphOfAll(features: Features, most: number, dense: boolean, facts: (latent: number) => { density: number; label?: string }): Promise<Graph> {
  const { density } = features.statistics;
  const isShown = (latent: number): boolean => density[latent] > 0 && (dense || density[latent] <= DENSE);
  const living = function* (): Generator<number> {
    for (let latent = 0; latent < features.count; latent++) if (isShown(latent)) yield latent;
  };
  const found = await inPieces(strongestPairs(living(), (latent) => features.together(latent).filter((one) => isShown(one.latent)), most), STOPPED);
  const place = new Map<number, number>();
  for (const { a, b } of found) for (const latent of [a, b]) if (!place.has(latent)) place.set(latent, place.size);
  return {
    nodes: [...place.keys()].map((latent) => ({ latent, ...facts(latent), asked: true })),
    pairs: found.map(({ a, b, count, score }) => ({ a: place.get(a)!, b: place.get(b)!, count, score })),
  };
}

/** Where the nodes stand: d3-force begins on a spiral and draws no random numbers of its own but from a fixed seed. */
async function placed({ nodes, pairs }: Graph): Promise<{ x: number; y: number }[]> {
  const { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } = await import("d3-force");
  const at: { x: number; y: number; index?: number }[] = nodes.map((_, i) => {
    const [radius, angle] = [14 * Math.sqrt(0.5 + i), i * 2.399963229728653]; // the golden angle
    return { x: radius * Math.cos(angle), y: radius * Math.sin(angle) };
  });
  const links = pairs.map(({ a, b, score }) => ({ source: a, target: b, score }));
  const simulation = forceSimulation(at)
    .force("links", forceLink<{ x: number; y: number }, (typeof links)[number]>(links).distance(({ score }) => 28 + 50 * (1 - score)).strength(({ score }) => 0.2 + 0.6 * score))
    .force("apart", forceManyBody().strength(-90).distanceMax(260))
    .force("room", forceCollide(14))
    .force("x", forceX(0).strength(0.035)) // the figure is wider than high
    .force("y", forceY(0).strength(0.07))
    .stop();
  for (let tick = 0; tick < TICKS; tick += STEP) {
    simulation.tick(STEP);
    stopIfInterrupted(STOPPED);
    await breathe();
  }
  return at.map(({ x, y }) => ({ x: Math.round(10 * x) / 10, y: Math.round(10 * y) / 10 }));
}
