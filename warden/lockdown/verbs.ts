// The agent's verbs of the lockdown: read its state, have a policy planned, have the newest signed
// policy tried. None of them opens anything that no signed policy opens. [OPS-2] [LCK-13]
import { Fault } from "../../hal/fault.ts";
import { createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import { type LockdownState, PLAN_BYTES_MAX, planHash } from "./format/index.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import { PLANS_BURST_MAX, PLANS_PERIOD_MS } from "./limits.ts";
import type { Lockdown } from "./lockdown.ts";
import { lockdownView, previewView, trialView } from "./view.ts";
import type { Trail } from "./trail.ts";

/** The newest policy signed for this device. The warden itself has checked its signature. */
export interface SignedPolicy {
  readonly target: string;
  readonly counter: number;
  /** SHA-256 of its bytes, hex. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface LockdownVerbPorts {
  readonly lockdown: Lockdown;
  readonly state: () => LockdownState;
  readonly clock: Clock;
  readonly trail: Pick<Trail, "refused">;
  readonly policy: () => SignedPolicy | undefined;
}

export type LockdownVerbs = Pick<VerbHandlers, "lockdown.read" | "lockdown.preview" | "lockdown.enforced" | "lockdown.propose">;

export function createLockdownVerbs({ lockdown, state, clock, trail, policy }: LockdownVerbPorts): LockdownVerbs {
  const bucket = createTokenBucket(clock, PLANS_BURST_MAX, PLANS_PERIOD_MS);
  /** Planning reads the machine, and a trial has to wait for it. */
  const spend = (): void => {
    if (!bucket.take())
      throw new Fault("protocol.rate-limited", `plan a policy: too often; wait ${Math.ceil(bucket.dueMs() / 1000)} s`);
  };
  return {
    "lockdown.read": async () => lockdownView(state(), lockdown.inForce(), lockdown.devices()),
    "lockdown.preview": async ({ policy: encoded }) => {
      spend();
      return previewView(await lockdown.preview(Buffer.from(encoded, "base64")));
    },
    "lockdown.enforced": async ({ of }) => {
      const plan = of === "now" ? lockdown.inForce() : lockdown.beforeTrial();
      const which = of === "now" ? "now" : "before the trial";
      if (plan === undefined) throw new Fault("lockdown.not-pending", `read the plan in force ${which}: there is none`);
      if (Buffer.byteLength(JSON.stringify(plan)) > PLAN_BYTES_MAX)
        throw new Fault("lockdown.invalid", `read the plan in force ${which}: it has more than ${PLAN_BYTES_MAX} bytes`);
      return { planHash: planHash(plan), plan };
    },
    "lockdown.propose": async () => {
      const signed = policy();
      if (signed === undefined)
        throw new Fault("lockdown.unchanged", "propose a policy: no policy was signed for this device yet, or none has arrived");
      spend();
      const { bytes, counter } = signed;
      try {
        return { counter, trial: trialView(await lockdown.propose(bytes, counter)) };
      } catch (error) {
        if (error instanceof Fault && (error.code === "lockdown.invalid" || error.code === "lockdown.unsafe"))
          trail.refused(signed, error);
        throw error;
      }
    },
  };
}
