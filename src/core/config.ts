import { CheckpointError } from "./errors";

/** Configuration files of checkpoints: JSON of which some fields are wanted. */

export type Json = Record<string, unknown>;

export const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

export interface Fields {
  json: Json;
  /** A whole number of at least `from`. */
  count(key: string, from: number, otherwise?: number): number;
  text(key: string): string | undefined;
  flag(key: string, otherwise: boolean): boolean;
  /** @throws CheckpointError */
  fail(what: string, remedy: string): never;
}

/**
 * @param where path of the file, for messages
 * @throws CheckpointError when it is no JSON object
 */
export function parseObject(text: string, where: string): Json {
  let json: unknown;
  let found = "something else";
  try {
    json = JSON.parse(text);
  } catch (error) {
    found = (error as Error).message;
  }
  if (isObject(json)) return json;
  throw new CheckpointError(`${where}: expected ${json === undefined ? "JSON" : "a JSON object"}, found: ${found}. The file is damaged: copy or download it again.`);
}

export function fieldsOf(json: Json, where: string): Fields {
  const fail = (what: string, remedy: string): never => {
    throw new CheckpointError(`${where}: ${what}. ${remedy}`);
  };
  const said = (value: unknown): string => (JSON.stringify(value) ?? "nothing").slice(0, 200);
  return {
    json,
    fail,
    count(key, from, otherwise) {
      const value = json[key] ?? otherwise;
      if (!Number.isSafeInteger(value) || (value as number) < from) {
        fail(`${key}: expected a whole number of at least ${from}, found ${said(value)}`, "Set it to what the SAE was trained with.");
      }
      return value as number;
    },
    text(key) {
      const value = json[key] ?? undefined;
      if (value === undefined || typeof value === "string") return value;
      return fail(`${key}: expected a text, found ${said(value)}`, "Set it to what the SAE was trained with.");
    },
    flag(key, otherwise) {
      const value = json[key] ?? otherwise;
      return typeof value === "boolean" ? value : fail(`${key}: expected true or false, found ${said(value)}`, "Set it to what the SAE was trained with.");
    },
  };
}
