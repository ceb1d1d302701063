// The rule for files with private keys and passwords, which device, hub and release tool share.
// [STA-30]

const GROUP_OR_OTHER = 0o077;

export interface KeyFileFacts {
  readonly uid: number;
  readonly mode: number;
}

/**
 * [STA-30] Root is held to it too: a key of another user is that user's to use, and what root signs
 * with it would look like theirs. A POSIX ACL shows in the group bits (acl(5)).
 * @param us the effective user of this process; undefined where there are no users.
 * @returns why the file is not used, with the command that mends it; undefined when nothing is
 *   wrong.
 */
export function whyNotPrivate({ uid, mode }: KeyFileFacts, path: string, us: number | undefined): string | undefined {
  if (us !== undefined && uid !== us)
    return `it belongs to user ${uid}, expected ${us}; run as that user, or chown ${us} ${path}`;
  if ((mode & GROUP_OR_OTHER) === 0) return undefined;
  const octal = (mode & 0o777).toString(8).padStart(4, "0");
  return `others may read it (mode ${octal}); run chmod 600 ${path}, and replace the secret in it if anybody did`;
}
