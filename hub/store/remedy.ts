// What an operator can do about a store that fails, from what SQLite or the system said. Pure.
import { asFault, Fault } from "../../hal/fault.ts";

const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/disk is full|ENOSPC|EDQUOT/u, "make room on its disk; the hub goes on by itself"],
  [/readonly|read-only|EROFS|EACCES/u, "give the hub's user the right to write there, or mount the disk writable"],
  [/locked|busy/u, "another program holds it for too long; find it with fuser, and end it"],
  [/malformed|not a database/u, "the file is damaged; stop the hub and restore it from a backup"],
  [/disk I\/O error|EIO/u, "look at the disk and at the kernel's messages (dmesg)"],
];

/** @returns the remedy for what `text` says, or undefined. */
export function remedyFor(text: string): string | undefined {
  return REMEDIES.find(([pattern]) => pattern.test(text))?.[1];
}

/** {@link asFault} with `hub.store-failed` and what to do. */
export function storeFault(error: unknown, action: string): Fault {
  const fault = asFault(error, "hub.store-failed", action);
  const remedy = fault === error ? undefined : remedyFor(fault.message);
  return remedy === undefined ? fault : new Fault(fault.code, `${fault.message}; ${remedy}`, { cause: error });
}
