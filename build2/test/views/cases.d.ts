import { type FeatureList } from "../../src/adapters/show";
/**
 * One case each of what a cell can show; `npm run views` draws them anew. The page beside it is what it must look like,
 * byte by byte.
 */
export interface ViewCase {
    name: string;
    html: string;
    text?: string;
    features?: FeatureList;
}
export declare const cases: ViewCase[];
