// A file without which a program can't do its work.
import { Fault } from "../../fault.ts";
import { readConfigFile } from "../files/index.ts";

/**
 * @param what what the file holds, and `hint` what to do when it is missing: for whoever reads the fault.
 * @throws Fault `config.unreadable`.
 */
export async function requiredConfigFile(path: string, bytesMax: number, what: string, hint: string): Promise<Uint8Array> {
  const bytes = await readConfigFile(path, bytesMax);
  if (bytes === undefined) throw new Fault("config.unreadable", `read ${what} "${path}": there is no such file; ${hint}`);
  return bytes;
}
