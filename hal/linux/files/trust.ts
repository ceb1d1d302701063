// The check of a file's owner and mode. [STA-2]
import { Fault } from "../../fault.ts";
import { whyNotPrivate } from "../../format/key-file.ts";
import type { FileFacts } from "./ops.ts";

const GROUP_OR_OTHER_MAY_WRITE = 0o022;

/**
 * [STA-2] Refuses what another user could have written: the owner must be this process's user or
 * root, and neither group nor others may write. A POSIX ACL that lets another user write shows in
 * the group bits, which hold its mask (acl(5)), so it is refused too.
 * @throws Fault `file.untrusted-owner`.
 */
export function checkTrusted(facts: FileFacts, path: string): void {
  const us = process.geteuid?.() ?? 0;
  if (facts.uid !== us && facts.uid !== 0)
    throw new Fault("file.untrusted-owner", `use "${path}": it belongs to user ${facts.uid}, expected ${us} or root`);
  if ((facts.mode & GROUP_OR_OTHER_MAY_WRITE) !== 0)
    throw new Fault(
      "file.untrusted-owner",
      `use "${path}": others may write it (mode ${octal(facts.mode)}); run chmod go-w on it if it is yours`,
    );
}

/** @throws Fault `file.not-regular`, `file.untrusted-owner`. */
export function checkTrustedFile(facts: FileFacts, path: string): void {
  if (!facts.isFile()) throw new Fault("file.not-regular", `use "${path}": it is not a regular file`);
  checkTrusted(facts, path);
}

/** @throws Fault `file.not-regular`, `file.untrusted-owner`. [STA-30] */
export function checkPrivateFile(facts: FileFacts, path: string): void {
  // first, because it names the command that mends it
  const why = facts.isFile() ? whyNotPrivate(facts, path, process.geteuid?.()) : undefined;
  if (why !== undefined) throw new Fault("file.untrusted-owner", `use the secret in "${path}": ${why}`);
  checkTrustedFile(facts, path);
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
