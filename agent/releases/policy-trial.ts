// The agent's part in trying a policy: ask for it, come back through it, and only then tell the hub what is to be confirmed. [LCK-13]
import { asFault, type Fault } from "../../hal/fault.ts";
import type { LockdownTrial, LockdownState } from "../../warden/lockdown/format/index.ts";
import type { TargetOffer } from "../../warden/targets/format.ts";
import type { LockdownPending } from "../tunnel/format.ts";
import { REFUSED_POLICY_AGAIN_MS } from "./limits.ts";
import { mayPass, type ReleasesOptions } from "./ports.ts";

export interface PolicyTrials {
  /**
   * Has the newest policy offered tried, if it is newer than what is in force; brings a trial that is pending to the hub, once.
   * @throws Fault what the warden refuses with; `tunnel.closed` when no new connection came about while the trial lasted.
   */
  settle(offers: readonly TargetOffer[], signal: AbortSignal): Promise<void>;
}

type TrialsParts = Pick<ReleasesOptions, "warden" | "tunnel" | "clock" | "log">;

export function createPolicyTrials(parts: TrialsParts): PolicyTrials {
  const { warden, tunnel, clock, log } = parts;
  /** Nonce of the trial that the hub knows of. */
  let told: string | undefined;
  /** What was asked for last: neither a trial that was taken back nor a refusal is to go round and round. */
  let asked: { readonly digest: string; readonly againAtMs: number } | undefined;

  const read = async (): Promise<LockdownState> => (await warden.call("lockdown.read", {})).state;

  const propose = async ({ digest, counter }: TargetOffer): Promise<void> => {
    try {
      await warden.call("lockdown.propose", {});
      asked = { digest, againAtMs: Number.POSITIVE_INFINITY };
      log(`policy ${counter} is being tried`);
    } catch (error) {
      const fault = asFault(error, "protocol.closed", "propose a policy");
      if (!mayPass(fault)) asked = { digest, againAtMs: clock.monotonicMs() + againAfterMs(fault) };
      throw fault;
    }
  };

  const bring = async (trial: LockdownTrial, signal: AbortSignal): Promise<void> => {
    await renewed(parts, trial, signal);
    const state = await read();
    if (state.trial?.nonce !== trial.nonce) return log("the policy that was tried is not any more");
    const { planHash, nonce, confirmWithinMs } = state.trial;
    await tunnel.publish("event", {
      kind: "lockdown.pending",
      counter: state.counter ?? 0,
      planHash,
      nonce,
      confirmWithinMs,
    } satisfies LockdownPending);
    told = nonce;
  };

  return {
    settle: async (offers, signal) => {
      const offer = newest(offers);
      const before = await read();
      const known = offer?.digest === asked?.digest && clock.monotonicMs() < (asked?.againAtMs ?? 0);
      const due = offer !== undefined && !known && isNewer(offer, before);
      if (due) await propose(offer);
      const { trial } = due ? await read() : before;
      if (trial !== undefined && trial.nonce !== told) await bring(trial, signal);
    },
  };
}

/** [LCK-13] The one tunnel there is ends, and a connection that begins now passes the new filter: an old one would live on in it whatever it forbids. */
async function renewed({ tunnel, clock }: TrialsParts, { confirmWithinMs }: LockdownTrial, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const tooLate = new AbortController();
  void clock.sleep(confirmWithinMs, over.signal).then(() => tooLate.abort());
  try {
    await tunnel.renew(AbortSignal.any([signal, tooLate.signal]));
  } finally {
    over.abort();
  }
}

function newest(offers: readonly TargetOffer[]): TargetOffer | undefined {
  return offers.filter(({ line }) => line === "policy").toSorted((a, b) => b.counter - a.counter)[0];
}

function isNewer({ counter }: TargetOffer, { at, trial, counter: inForce = 0 }: LockdownState): boolean {
  return trial === undefined && at !== "changing" && counter > inForce;
}

/** `lockdown.unchanged`: it was tried and taken back, says a warden that remembers longer than we do. */
function againAfterMs({ code }: Fault): number {
  return code === "lockdown.unchanged" ? Number.POSITIVE_INFINITY : REFUSED_POLICY_AGAIN_MS;
}
