// Admission of releases: decides whether a release may be taken up, before a byte of it is written.
// [OTA-41]
import { asFault, Fault } from "../../hal/fault.ts";
import { type TokenBucket, createTokenBucket } from "../../hal/rate-limit.ts";
import type { SlotName } from "../../hal/format/slots.ts";
import { isUpdateActive, type Phase, type Release, type State, whyNotAgain } from "../../ota/commit/index.ts";
import type { Floors } from "../../ota/floor/index.ts";
import type { WantedFile } from "../targets/format.ts";
import type { JudgedTarget } from "../targets/index.ts";
import { BEGINNING_PERIOD_MS, BEGINNINGS_BURST_MAX } from "./limits.ts";
import type { UpdatePorts, UpdateSettings } from "./ports.ts";
import { isFinal, OS_LINE, type Planned, planParts, releaseOf, replacedOf } from "./release-plan.ts";
import { planHashOf } from "./status.ts";

/**
 * What a decision reads of the update under way. A wait may change any of it, so it is read again
 * after each one.
 */
export interface UpdateView {
  state(): State;
  /** The slot that this boot runs from; undefined where the boot did not say. */
  running(): SlotName | undefined;
  /** Why something that was decided is still undone; undefined when nothing is. */
  trouble(): Fault | undefined;
  /** Whether an operator ordered this release. */
  isOrdered(release: Release): boolean;
  /** Whether an installer is at work. */
  isInstalling(): boolean;
}

/** The release under way cannot be installed: it ends with this fault. */
export interface Ends {
  readonly state: "ends";
  readonly fault: Fault;
}

/** A release that ends because another one takes its place, and the reason for the record. */
export interface Replaced {
  readonly release: Release;
  readonly message: string;
}

export interface Admitted {
  readonly state: "admitted";
  readonly release: Release;
  readonly found: JudgedTarget;
  /**
   * How it begins; undefined where it is under way already and only needs its manifest and indexes.
   */
  readonly beginning: { readonly ordered: boolean; readonly replaces: Replaced | undefined } | undefined;
}

export interface RefusedRelease {
  readonly state: "refused";
  readonly fault: Fault;
  /** The refused release, where an operator's order would overrule the refusal. */
  readonly orderable: Release | undefined;
  /** The release under way that ends all the same. */
  readonly ends: Replaced | undefined;
}

export type AdmissionDecision =
  /** The agent must bring this file first. */
  | WantedFile
  /** The release is under way and needs nothing of the agent now. */
  | { readonly state: "under-way" }
  | Ends
  | Admitted
  | RefusedRelease;

export class Admission {
  readonly #ports: Pick<UpdatePorts, "floors" | "boot" | "targets">;
  readonly #image: UpdateSettings["image"];
  readonly #beginnings: TokenBucket;

  constructor(ports: Pick<UpdatePorts, "floors" | "boot" | "targets" | "clock">, { image }: Pick<UpdateSettings, "image">) {
    this.#ports = ports;
    this.#image = image;
    this.#beginnings = createTokenBucket(ports.clock, BEGINNINGS_BURST_MAX, BEGINNING_PERIOD_MS);
  }

  /**
   * Decides about the release that is published as `target`. Calls must not overlap. [OTA-41]
   * @param absent paths that the repository lacks, as the agent reports.
   * @throws Fault `update.busy`, `update.refused`, `slot.unknown`, `floor.*` when no release can be
   *   taken up now; what `TargetService.find` throws; `file.*` of the hand-over directory.
   */
  async decide(target: string, absent: readonly string[], view: UpdateView): Promise<AdmissionDecision> {
    const { phase } = view.state();
    const current = activeRelease(phase);
    if (current !== undefined && current.target !== target) {
      if (!isReplaceable(phase)) throw busy(target, current);
      return await this.#decideReplacement(target, current, absent, view);
    }
    if (current !== undefined && !needsManifest(phase, view)) return { state: "under-way" };
    const floors = await this.#expectReady(view);
    try {
      const found = await this.#ports.targets.find(target, absent);
      if (found.state === "wanted") return found;
      return this.#decideFound(found, releaseOf(found, floors.record(), this.#image), floors, view);
    } catch (error) {
      return endedBy(error, view);
    }
  }

  /**
   * Plans the parts of a release that was admitted.
   * @throws Fault when a later attempt may succeed, or when the release is no longer under way.
   */
  async plan({ found }: Admitted, absent: readonly string[], view: UpdateView): Promise<WantedFile | Planned | Ends> {
    try {
      return await planParts(this.#ports.targets, found.target, absent);
    } catch (error) {
      return endedBy(error, view);
    }
  }

  #decideFound(found: JudgedTarget, release: Release, floors: Floors, view: UpdateView): Admitted | RefusedRelease {
    const current = activeRelease(view.state().phase);
    if (current?.digest === release.digest) return { state: "admitted", release, found, beginning: undefined };
    const replaces =
      current === undefined ? undefined : { release: current, message: "another release was published under its name" };
    const verdict = this.#judge(release, floors, view);
    return "fault" in verdict
      ? { state: "refused", ...verdict, ends: replaces }
      : { state: "admitted", release, found, beginning: { ...verdict, replaces } };
  }

  /**
   * A newer release of the same line replaces one that is not tried yet. A release whose files are
   * no longer available must not block the one that repairs it. [OTA-67]
   */
  async #decideReplacement(
    target: string,
    current: Release,
    absent: readonly string[],
    view: UpdateView,
  ): Promise<WantedFile | Admitted | RefusedRelease> {
    const floors = await this.#expectReady(view);
    const found = await this.#ports.targets.find(target, absent);
    if (found.state === "wanted") return found;
    const release = releaseOf(found, floors.record(), this.#image);
    if (release.line !== current.line || release.counter <= current.counter) throw busy(target, current);
    const verdict = this.#judge(release, floors, view);
    if ("fault" in verdict) return { state: "refused", ...verdict, ends: undefined };
    const replaces = { release: current, message: `the newer "${target}" took its place` };
    return { state: "admitted", release, found, beginning: { ...verdict, replaces } };
  }

  /** @throws Fault unless this machine could take up any release now. */
  async #expectReady(view: UpdateView): Promise<Floors> {
    const { floors, boot } = this.#ports;
    if (floors instanceof Fault) throw floors;
    const trouble = view.trouble();
    // an earlier decision is not carried out yet: a floor, a boot choice or a reboot
    if (trouble !== undefined) throw trouble;
    const running = view.running();
    if (running === undefined) throw new Fault("slot.unknown", "take up a release: the running slot is not known");
    const { committed } = await boot.read();
    // the machine falls back to the other slot, which must not be overwritten then
    if (committed !== running)
      throw new Fault("update.refused", `take up a release: slot ${running} runs and is not committed, slot ${committed} is`);
    return floors;
  }

  /** Whether `release` may begin now. An admitted release takes one beginning from the limiter. */
  #judge(
    release: Release,
    floors: Floors,
    view: UpdateView,
  ): { readonly ordered: boolean } | Pick<RefusedRelease, "fault" | "orderable"> {
    const { target } = release;
    const { phase } = view.state();
    if (phase.at === "committed" && phase.release.digest === release.digest)
      return { fault: new Fault("update.refused", `take up "${target}": it is the running system`), orderable: undefined };
    const why = this.#whyOrderNeeded(release, floors, view.state());
    const ordered = view.isOrdered(release);
    if (why !== undefined && !ordered) {
      const needed = `an operator's order update.approve over ${planHashOf(release)} overrules this`;
      return { fault: new Fault("update.refused", `take up "${target}": ${why}; ${needed}`), orderable: release };
    }
    if (this.#beginnings.take()) return { ordered };
    const message = `releases were taken up too often; try again in ${this.#beginnings.dueMs()} ms`;
    return { fault: new Fault("protocol.rate-limited", message), orderable: undefined };
  }

  #whyOrderNeeded(release: Release, floors: Floors, state: State): string | undefined {
    const { line, counter } = release;
    const rolledBack = whyNotAgain(state, release);
    if (rolledBack !== undefined) return rolledBack;
    const replaced = replacedOf(line, floors.record(), this.#image);
    if (replaced === undefined) return line === OS_LINE ? undefined : `no release of the line "${line}" has run here`;
    return counter > replaced ? undefined : `its counter ${counter} is no higher than ${replaced}, which runs`;
  }
}

/** The release that holds the machine; undefined when none does. */
export function activeRelease(phase: Phase): Release | undefined {
  return isUpdateActive(phase.at) && "release" in phase ? phase.release : undefined;
}

/** A release that is not tried yet may still give way to a newer one. */
export function isReplaceable(phase: Phase): phase is Extract<Phase, { at: "fetching" | "verified" | "written" }> {
  return phase.at === "fetching" || phase.at === "verified" || phase.at === "written";
}

export function busy(target: string, { target: other }: Release): Fault {
  return new Fault("update.busy", `take up "${target}": "${other}" is under way`);
}

function needsManifest({ at }: Phase, view: UpdateView): boolean {
  return at === "fetching" || (at === "verified" && !view.isInstalling());
}

/** @throws Fault when a later attempt may succeed, or when no release is under way. */
function endedBy(error: unknown, view: UpdateView): Ends {
  const fault = asFault(error, "assert.broken", "take up a release");
  if (!isFinal(fault) || !isUpdateActive(view.state().phase.at)) throw fault;
  return { state: "ends", fault };
}
