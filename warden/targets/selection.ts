// The selection of targets: which are for this device, and which is the newest of each line. Pure.
// [OTA-11] [OTA-12]
import { type DeviceFacts, judgeTarget, type TargetRefusal, type Target } from "../../ota/trust/index.ts";
import type { TargetCustom } from "../../ota/trust/format/index.ts";

/** A target for this device. */
export interface Candidate {
  readonly target: Target;
  readonly custom: TargetCustom;
  /** SHA-256 of its payload, in hex. */
  readonly digest: string;
}

export interface Refused {
  readonly path: string;
  readonly reason: TargetRefusal;
  readonly message: string;
}

export type Judgement = Candidate | Refused;

export function judge(target: Target, device: DeviceFacts): Judgement {
  const verdict = judgeTarget(target, device);
  if (verdict.kind === "refused") return { path: target.path, reason: verdict.reason, message: verdict.message };
  const digest = target.file.hashes.get("sha256");
  if (digest === undefined || !/^[0-9a-f]{64}$/u.test(digest))
    return { path: target.path, reason: "custom", message: `target "${target.path}" is announced without a SHA-256 hash` };
  return { target, custom: verdict.custom, digest };
}

export interface Choice {
  /** By line. */
  readonly newest: ReadonlyMap<string, Candidate>;
  readonly refused: readonly Refused[];
}

/**
 * The result does not depend on the order of the listing: of two targets with the same counter the
 * one whose name sorts first is chosen.
 */
export function choose(targets: readonly Target[], device: DeviceFacts): Choice {
  const newest = new Map<string, Candidate>();
  const refused: Refused[] = [];
  for (const target of [...targets].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const judged = judge(target, device);
    if ("reason" in judged) refused.push(judged);
    else if (judged.custom.counter > (newest.get(judged.custom.line)?.custom.counter ?? 0))
      newest.set(judged.custom.line, judged);
  }
  return { newest, refused };
}
