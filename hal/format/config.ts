// Parsing of a configuration file: one fault code for everything that can be wrong with it, and the
// file's name in every message.
import type * as v from "valibot";
import { Fault } from "../fault.ts";
import { parseJson } from "./json.ts";
import { check } from "./schema.ts";

/**
 * @param what what the file is and where it lies, for the message: `configuration
 *   "/etc/sallyport/agent.json"`.
 * @throws Fault `config.invalid` that lists every fault; also when the file is not JSON or is
 *   larger than `bytesMax`.
 */
export function parseConfigFile<const S extends v.GenericSchema>(
  schema: S,
  bytes: Uint8Array | string,
  bytesMax: number,
  what: string,
): v.InferOutput<S> {
  return check(schema, configJson(bytes, bytesMax, what), what, "config.invalid");
}

function configJson(bytes: Uint8Array | string, bytesMax: number, what: string): unknown {
  try {
    return parseJson(bytes, bytesMax, what, { duplicates: "refused" });
  } catch (error) {
    if (error instanceof Fault) throw new Fault("config.invalid", error.message, { cause: error });
    throw error;
  }
}
