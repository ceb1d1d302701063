// Folders of gateways in the machine's temporary folder, which all users share: no user can or must
// remove what another user's killed process left.
import { tmpdir } from "node:os";
import { makeWorkDirectory, type WorkDirectory } from "../../../build/image/workdir.ts";

/**
 * The folder is removed when it is disposed of, or when this user's next one of that name is made.
 * @param name lower-case letters and dashes.
 */
export function ownFolder(name: string): Promise<WorkDirectory> {
  return makeWorkDirectory(tmpdir(), `${name}-${process.getuid?.() ?? "any"}-`);
}
