// Folders of a gateway's in the machine's temporary one, which its users share: none can remove what another's killed process left, nor has to.
import { tmpdir } from "node:os";
import { makeWorkDirectory, type WorkDirectory } from "../../../build/image/workdir.ts";

/** Gone when it is disposed of, or else when this user's next of that name is made. @param name lower-case letters and dashes. */
export function ownFolder(name: string): Promise<WorkDirectory> {
  return makeWorkDirectory(tmpdir(), `${name}-${process.getuid?.() ?? "any"}-`);
}
