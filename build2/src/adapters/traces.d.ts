import type { Document } from "../core/types";
import type { Features } from "./features";
import { type ShownNow } from "./show";
/**
 * A document with its labelled sentences marked.
 * @param labels names in the order of their colours, so that several documents agree; by first appearance when absent
 */
export declare const showTrace: (document: Document, labels?: string[]) => ShownNow;
/**
 * A whole document shaded by one latent, its labelled sentences underlined.
 * @param document its number in the store, or its id
 * @throws OptionError if there is no such document or latent, or its rows were not collected
 */
export declare function traceMap(features: Features, latent: number, document: number | string): Promise<ShownNow>;
