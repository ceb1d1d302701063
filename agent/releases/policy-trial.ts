// The agent's part in the trial of a policy: it proposes the policy, connects through its rules,
// and only then reports to the hub what has to be confirmed. [LCK-35]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { LockdownTrial, LockdownState } from "../../warden/lockdown/format/index.ts";
import type { TargetOffer } from "../../warden/targets/format.ts";
import type { LockdownPending } from "../tunnel/format.ts";
import { isTransient } from "./faults.ts";
import { REFUSED_POLICY_RETRY_MS } from "./limits.ts";
import type { ReleasesOptions } from "./ports.ts";

export interface PolicyTrials {
  /**
   * Proposes the newest offered policy if it is newer than the one in force, and again where its
   * trial was only interrupted: the warden bounds how often [LCK-67]. Reports a pending
   * trial to the hub, once.
   * @throws Fault of the warden's refusal; `tunnel.closed` when no new connection was made while
   *   the trial lasted.
   */
  settle(offers: readonly TargetOffer[], signal: AbortSignal): Promise<void>;
}

export type PolicyTrialOptions = Pick<ReleasesOptions, "warden" | "tunnel" | "clock" | "log">;

export function createPolicyTrials(options: PolicyTrialOptions): PolicyTrials {
  const { warden, tunnel, clock, log } = options;
  /** Nonce of the trial that the hub knows of. */
  let reportedNonce: string | undefined;
  /** The last proposal. A trial that was reverted and a refusal must not be repeated endlessly. */
  let proposed: { readonly digest: string; readonly retryAtMs: number } | undefined;

  const read = async (): Promise<LockdownState> => (await warden.call("lockdown.read", {})).state;

  const propose = async ({ digest, counter }: TargetOffer): Promise<void> => {
    try {
      await warden.call("lockdown.propose", {});
      proposed = { digest, retryAtMs: Number.POSITIVE_INFINITY };
      log(`policy ${counter} is on trial`);
    } catch (error) {
      const fault = asFault(error, "protocol.closed", "propose a policy");
      if (!isTransient(fault)) proposed = { digest, retryAtMs: clock.monotonicMs() + retryAfterMs(fault) };
      throw fault;
    }
  };

  const report = async (trial: LockdownTrial, signal: AbortSignal): Promise<void> => {
    await reconnect(options, trial, signal);
    const state = await read();
    if (state.trial?.nonce !== trial.nonce) return log("the trial of the policy has ended");
    const { planHash, nonce, confirmWithinMs } = state.trial;
    await tunnel.publish("event", {
      kind: "lockdown.pending",
      counter: state.counter ?? 0,
      planHash,
      nonce,
      confirmWithinMs,
    } satisfies LockdownPending);
    reportedNonce = nonce;
  };

  return {
    settle: async (offers, signal) => {
      const offer = newest(offers);
      const before = await read();
      const isOver = proposed?.retryAtMs === Number.POSITIVE_INFINITY && before.reverted?.again === offer?.counter;
      const isProposed = !isOver && offer?.digest === proposed?.digest && clock.monotonicMs() < (proposed?.retryAtMs ?? 0);
      const isDue = offer !== undefined && !isProposed && isNewer(offer, before);
      if (isDue) await propose(offer);
      const { trial } = isDue ? await read() : before;
      if (trial !== undefined && trial.nonce !== reportedNonce) await report(trial, signal);
    },
  };
}

/**
 * [LCK-35] Ends the tunnel's connection and waits for one that began after it and so passed the new
 * packet filter. The old one would survive in the filter even if the policy forbids it.
 */
async function reconnect(
  { tunnel, clock }: PolicyTrialOptions,
  { confirmWithinMs }: LockdownTrial,
  signal: AbortSignal,
): Promise<void> {
  const connected = new AbortController();
  const expired = new AbortController();
  void clock.sleep(confirmWithinMs, connected.signal).then(() => expired.abort());
  try {
    await tunnel.renew(AbortSignal.any([signal, expired.signal]));
  } finally {
    connected.abort();
  }
}

function newest(offers: readonly TargetOffer[]): TargetOffer | undefined {
  return offers.filter(({ line }) => line === "policy").toSorted((a, b) => b.counter - a.counter)[0];
}

function isNewer({ counter }: TargetOffer, { at, trial, counter: inForce = 0 }: LockdownState): boolean {
  return trial === undefined && at !== "changing" && counter > inForce;
}

/**
 * `lockdown.unchanged`: this policy was tried and reverted. The warden remembers that longer than
 * the agent.
 */
function retryAfterMs({ code }: Fault): number {
  return code === "lockdown.unchanged" ? Number.POSITIVE_INFINITY : REFUSED_POLICY_RETRY_MS;
}
