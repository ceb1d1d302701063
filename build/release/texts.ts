// What `sallyport-release` says about signatures and keys.
import { join } from "node:path";
import { counted } from "../../hal/format/prose.ts";
import { progressText } from "./authority.ts";
import type { RoleKeys } from "./key-changes.ts";
import type { SignOutcome, Waiting } from "./sign.ts";

export function outcomeText(dir: string, { signed, waiting, warnings }: SignOutcome): string {
  const lines = [
    ...signed.flatMap(({ role, version, expires, targets }) => [
      `${role} ${version}, until ${expires}`,
      ...targets.map(({ target, line, counter, reach }) => `  ${target} (${line} ${counter}), for ${reach}`),
    ]),
    ...waiting.map((each) => waitingText(each)),
    ...warningLines(warnings),
  ];
  if (signed.length === 0 && waiting.length === 0) lines.push("nothing has changed; --role timestamp renews the timestamp");
  if (waiting.length > 0)
    lines.push(
      `next: whoever has one of the keys runs, here or in a copy of the directory:\n  sallyport-release sign ${dir} --key FILE`,
    );
  if (signed.length > 0)
    lines.push(
      `next: copy ${join(dir, "repository")} to the hub, without the keys, and run there:\n  sallyport-hub release publish repository${waiting.length > 0 ? " --without-drafts" : ""}`,
    );
  return lines.join("\n");
}

export function waitingText({ role, version, progress, dropped }: Waiting): string {
  const isDone = progress.every(({ signed, threshold }) => signed.length >= threshold);
  const lost =
    dropped === 0 ? "" : `; ${counted(dropped, "signature")} over an older content ${dropped === 1 ? "was" : "were"} dropped`;
  return `${role} ${version}: ${progressText(progress)}${isDone ? ", waits for the others" : ""}${lost}`;
}

export function roleKeysText({ role, threshold, keyids, draft }: RoleKeys): string {
  const drafted = draft === undefined ? "" : `; drafted: ${draft.threshold} of ${draft.keyids.join(", ")}`;
  return `${role}: ${threshold} of ${keyids.join(", ")}${drafted}`;
}

export function warningLines(warnings: readonly string[]): readonly string[] {
  return warnings.map((each) => `warning: ${each}; devices take nothing new of that role until it is renewed`);
}
