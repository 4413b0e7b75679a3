import type { Tokenizer } from "../core/types";
/** The files a tokenizer is made of, as far as a checkpoint has them; the first, or vocab.json with merges.txt, must be there. A store keeps copies of them. */
export declare const TOKENIZER_FILES: readonly ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"];
/** The file that holds a folder's vocabulary: tokenizer.json, or vocab.json where only that is there. */
export declare const vocabularyFile: (folder: string) => string;
/**
 * The tokenizer of a checkpoint folder, from its tokenizer.json, or from GPT-2's vocab.json and merges.txt. Ids come from transformers.js;
 * bytes and offsets from here: the tokens' bytes are laid beside the text's, and every byte is compared, so that an offset is exact or an error.
 * @throws ModelError when a file is missing, damaged, or its kind has no bytes (WordPiece, Unigram)
 */
export declare function openTokenizer(folder: string): Tokenizer;
/** {@link openTokenizer} from the files' contents. */
export declare function makeTokenizer(json: unknown, config: object, where: string, templates?: {
    [x: string]: string;
}): Tokenizer;
