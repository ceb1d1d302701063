// Taking a release up: who may have it, and everything about it before a byte of it is written. [OTA-41]
import { asFault, Fault } from "../../hal/fault.ts";
import { createTokenBucket } from "../../hal/rate-limit.ts";
import { otherSlot } from "../../hal/format/slots.ts";
import { type Phase, type Release, whyNotAgain } from "../../ota/commit/index.ts";
import type { Floors } from "../../ota/floor/index.ts";
import type { WantedFile } from "../targets/format.ts";
import type { JudgedTarget } from "../targets/index.ts";
import type { UpdateDriver } from "./driver.ts";
import { BEGINNING_PERIOD_MS, BEGINNINGS_BURST_MAX } from "./limits.ts";
import type { UpdatePorts, UpdateSettings } from "./ports.ts";
import { planHashOf } from "./status.ts";
import { isFinal, OS_LINE, planParts, releaseOf, replacedOf } from "./release-plan.ts";
import type { Installation } from "./installation.ts";

export interface Admission {
  /** Whether an operator ordered it. */
  readonly isOrdered: (release: Release) => boolean;
  /** It is refused until an operator orders it. */
  readonly asked: (release: Release) => void;
}

export type Admit = (target: string, absent: readonly string[]) => Promise<WantedFile | "begun">;

/**
 * [OTA-41] Calls are not to overlap. What is wrong with a release that was taken up ends it, and is no fault.
 * @throws Fault `update.busy`, `update.refused`, `floor.*`, `protocol.rate-limited`, `slot.unknown`; what `Targets.find` throws; `file.*` of the courier.
 */
export function createAdmission(
  { floors, boot, targets, clock }: Pick<UpdatePorts, "floors" | "boot" | "targets" | "clock">,
  { image }: Pick<UpdateSettings, "image">,
  engine: UpdateDriver,
  writing: Installation,
  admission: Admission,
): Admit {
  const bucket = createTokenBucket(clock, BEGINNINGS_BURST_MAX, BEGINNING_PERIOD_MS);

  /** @throws Fault unless the machine could take any release now. */
  const prepared = async (): Promise<Floors> => {
    if (floors instanceof Fault) throw floors;
    const trouble = engine.trouble();
    if (trouble !== undefined) throw trouble; // a floor or a boot choice is still to follow what was decided
    const running = engine.running();
    if (running === undefined) throw new Fault("slot.unknown", "take up a release: it is not known which slot runs");
    const { committed } = await boot.read();
    // the other slot is what this machine falls back to: it is not to be written over
    if (committed !== running)
      throw new Fault("update.refused", `take up a release: slot ${running} runs and is not committed, slot ${committed} is`);
    return floors;
  };
  /** @throws Fault unless `release` may be taken up now. */
  const expectAdmissible = (release: Release, record: Floors): { readonly ordered: boolean } => {
    const { line, counter, digest } = release;
    const isOrdered = admission.isOrdered(release);
    const replaced = replacedOf(line, record.record(), image);
    const { phase } = engine.state();
    if (phase.at === "committed" && phase.release.digest === digest)
      throw new Fault("update.refused", `take up "${release.target}": it is what runs`);
    const isNoNewer = replaced !== undefined && counter <= replaced;
    const why =
      whyNotAgain(engine.state(), release) ??
      (isNoNewer ? `its counter ${counter} is no higher than ${replaced}, which runs` : undefined) ??
      (replaced === undefined && line !== OS_LINE ? `nothing of the line "${line}" has run here` : undefined);
    if (why !== undefined && !isOrdered) {
      admission.asked(release);
      throw new Fault(
        "update.refused",
        `take up "${release.target}": ${why}; it is taken on an operator's order update.approve over ${planHashOf(release)}`,
      );
    }
    if (bucket.dueMs() > 0)
      throw new Fault("protocol.rate-limited", `releases were taken up too often; again in ${bucket.dueMs()} ms`);
    return { ordered: isOrdered };
  };
  const offer = async (release: Release, record: Floors): Promise<void> => {
    const { ordered } = expectAdmissible(release, record);
    bucket.take();
    await engine.tell({ kind: "offered", release, ordered });
  };
  /** A newer one of its line takes the place of a release that is not tried yet: one that can't be had any more is not to block what mends it. */
  const replace = async (
    before: Release,
    target: string,
    record: Floors,
    absent: readonly string[],
  ): Promise<WantedFile | undefined> => {
    const found = await targets.find(target, absent);
    if (found.state === "wanted") return found;
    const release = releaseOf(found, record.record(), image);
    if (release.line !== before.line || release.counter <= before.counter) throw busy(target, before);
    expectAdmissible(release, record);
    await writing.abort();
    const { phase } = engine.state();
    if (!isReplaceable(phase) || phase.release.digest !== before.digest) throw busy(target, before);
    await engine.tell({ kind: "failed", code: "update.refused", message: `the newer "${target}" took its place` });
    return undefined;
  };
  /** @returns undefined when it was ended by what is wrong with it. @throws Fault that may pass, or of a release that was not taken up. */
  const orEnded = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      const fault = asFault(error, "assert.broken", "take up a release");
      if (!isFinal(fault) || underWay(engine.state().phase) === undefined) throw fault;
      await engine.tell({ kind: "failed", code: fault.code, message: fault.message });
      return undefined;
    }
  };
  const goOn = async (found: JudgedTarget, release: Release, absent: readonly string[]): Promise<WantedFile | "begun"> => {
    const planned = await orEnded(() => planParts(targets, found.target, absent));
    if (planned === undefined) return "begun";
    if (planned.state === "wanted") return planned;
    if ((await boot.read()).trial !== undefined) await boot.cancel(); // of the slot that is about to be written
    writing.plan(release, planned.parts);
    const { phase } = engine.state();
    const running = engine.running();
    if (phase.at === "fetching" && running !== undefined) await engine.tell({ kind: "verified", slot: otherSlot(running) });
    else if (phase.at === "verified") writing.start(release, phase.slot);
    await writing.ready();
    return "begun";
  };
  return async (target, absent) => {
    const { phase } = engine.state();
    const before = underWay(phase);
    const other = before === undefined || before.target === target ? undefined : before;
    if (other !== undefined && !isReplaceable(phase)) throw busy(target, other);
    if (before !== undefined && other === undefined && !isWaiting(phase, writing)) return "begun";
    const record = await prepared();
    const wanted = other === undefined ? undefined : await replace(other, target, record, absent);
    if (wanted !== undefined) return wanted;
    const found = await orEnded(() => targets.find(target, absent));
    if (found === undefined) return "begun";
    if (found.state === "wanted") return found;
    const release = await orEnded(async () => releaseOf(found, record.record(), image));
    if (release === undefined) return "begun";
    const current = underWay(engine.state().phase);
    if (current !== undefined && current.digest !== release.digest)
      await engine.tell({ kind: "failed", code: "update.refused", message: "another release was published under its name" });
    if (current?.digest !== release.digest) await offer(release, record);
    return await goOn(found, release, absent);
  };
}

/** The release that has the machine, until it is committed or gone. */
export function underWay(phase: Phase): Release | undefined {
  switch (phase.at) {
    case "fetching":
    case "verified":
    case "written":
    case "trying":
    case "committing":
    case "rolling-back":
      return phase.release;
    default:
      return undefined;
  }
}

function isReplaceable(phase: Phase): phase is Extract<Phase, { at: "fetching" | "verified" | "written" }> {
  return phase.at === "fetching" || phase.at === "verified" || phase.at === "written";
}

function busy(target: string, { target: other }: Release): Fault {
  return new Fault("update.busy", `take up "${target}": "${other}" is under way`);
}

/** For manifest and indexes. */
function isWaiting({ at }: Phase, writing: Installation): boolean {
  return at === "fetching" || (at === "verified" && writing.expects() === undefined);
}
