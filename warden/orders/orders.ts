// Orders: makes the nonces, judges what comes back, has it carried out. Who brings an order gains nothing by it. [OPS-7] [OPS-9]
import { randomBytes } from "node:crypto";
import { asFault, Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Clock } from "../../hal/ports.ts";
import { type AuditRecorder, createRateLimitedRecorder } from "../audit/rate-limited-recorder.ts";
import type { WardenResult } from "../protocol/format.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import type { Roster } from "../roster/format.ts";
import type { OrderVerb } from "./format/index.ts";
import { judgeOrder, type Judged, type Signers, signersOf } from "./judge.ts";
import { REFUSAL_NOTED_PERIOD_MS, REFUSALS_NOTED_BURST_MAX } from "./limits.ts";
import { createOrderNonces } from "./nonces.ts";

/** Does what was ordered. `planHash`: of what the order was about, which the executor compares with what it is about to do. @throws Fault why it can't. */
export type Executor = (order: { readonly planHash?: string; readonly by: string }) => Promise<void>;

/** A policy on trial has a nonce and keys of its own. [LCK-12] */
export interface TrialOrders {
  trial(): { readonly nonce: string; readonly planHash: string } | undefined;
  /** @returns the id of the key that signed. @throws Fault `lockdown.not-pending`; `order.*`. */
  confirm(order: Uint8Array): Promise<string>;
  revert(order: Uint8Array): Promise<string>;
}

export interface OrdersOptions {
  readonly deviceId: DeviceId;
  readonly clock: Clock;
  /** Whether the wall clock may judge an order's time. */
  readonly clockTrusted: () => boolean;
  /** [OPS-8] Undefined: nobody gives orders. */
  readonly roster: () => Roster | undefined;
  /** Hash of what an order of this verb would be about now. */
  readonly planHash: (verb: OrderVerb) => string | undefined;
  /** A verb without one is not obeyed by this program. `console.login` has its own: what it grants is the answer. */
  readonly executors: Readonly<Partial<Record<OrderVerb, Executor>>>;
  readonly lockdown: TrialOrders;
  /** Never throws. */
  readonly note: AuditRecorder;
  readonly random?: (bytes: number) => Uint8Array;
}

export interface Orders {
  readonly verbs: Pick<VerbHandlers, "order.nonce" | "order.submit">;
}

type Submitted = WardenResult<"order.submit">;

export function openOrders(options: OrdersOptions): Orders {
  const { deviceId, clock, clockTrusted, planHash, lockdown, note } = options;
  const executors: OrdersOptions["executors"] = { "console.login": async () => undefined, ...options.executors };
  const issued = createOrderNonces(options.random ?? randomBytes);
  const signers = rememberingSigners(options.roster);
  const refusal = createRateLimitedRecorder(note, clock, REFUSALS_NOTED_BURST_MAX, REFUSAL_NOTED_PERIOD_MS);

  const executorOf = (verb: OrderVerb): Executor => {
    const executor = executors[verb];
    if (executor === undefined)
      throw new Fault("order.unsupported", `no order "${verb}" is obeyed by this program: it has not the part for it`);
    return executor;
  };
  /** What `judging` refuses is recorded; what fails later is no refusal. */
  const recorded = async <T>(verb: OrderVerb, judging: () => Promise<T>): Promise<T> => {
    try {
      return await judging();
    } catch (error) {
      if (error instanceof Fault)
        await refusal({ event: eventOf(verb, false), result: "refused", detail: { verb, code: error.code } });
      throw error;
    }
  };
  const judged = async (verb: OrderVerb, encoded: string): Promise<Judged> => {
    const one = judgeOrder(encoded, signers(), {
      verb,
      deviceId,
      planHash: planHash(verb),
      nowMs: clockTrusted() ? clock.nowMs() : undefined,
      nonceWaits: (nonce) => issued.waits(nonce, verb, clock.monotonicMs()),
    });
    issued.spend(one.order.nonce); // before anything is waited for: the same order twice at once is one
    return one;
  };
  const obey = async (verb: OrderVerb, encoded: string): Promise<Submitted> => {
    const executor = await recorded(verb, async () => executorOf(verb));
    const { operator, keyid, order } = await recorded(verb, () => judged(verb, encoded));
    await note(acceptance(verb, { operator, keyid, order })); // before it is done: a reboot leaves no time
    try {
      await executor({ by: operator.id, ...(order.planHash === undefined ? {} : { planHash: order.planHash }) });
    } catch (error) {
      const { code } = asFault(error, "assert.broken", `carry out "${verb}"`);
      await note({ event: eventOf(verb, false), result: "failed", principal: operator.id, detail: { verb, keyid, code } });
      throw error;
    }
    return { by: operator.id, roles: [...operator.roles], keyid };
  };

  return {
    verbs: {
      "order.nonce": async ({ verb }) => {
        if (isTrialVerb(verb)) {
          const trial = lockdown.trial();
          if (trial === undefined) throw new Fault("lockdown.not-pending", `no order "${verb}" is due: no policy is being tried`);
          return { nonce: trial.nonce, planHash: trial.planHash };
        }
        executorOf(verb);
        const about = planHash(verb);
        return { nonce: issued.issue(verb, clock.monotonicMs()), ...(about === undefined ? {} : { planHash: about }) };
      },
      "order.submit": async ({ verb, order }) => {
        if (!isTrialVerb(verb)) return await obey(verb, order);
        const keyid = await recorded(verb, () => tried(verb, order, lockdown));
        await note({ event: "order.accepted", result: "ok", principal: CONFIRM_KEY, detail: { verb, keyid } });
        return { by: CONFIRM_KEY, roles: [], keyid };
      },
    },
  };
}

/** [LCK-12] Judged by the trial itself: its nonce, the keys of its policy. */
async function tried(verb: TrialVerb, order: string, lockdown: TrialOrders): Promise<string> {
  const bytes = Buffer.from(order);
  return await (verb === "lockdown.confirm" ? lockdown.confirm(bytes) : lockdown.revert(bytes));
}

const CONFIRM_KEY = "confirm-key";

type TrialVerb = "lockdown.confirm" | "lockdown.revert";
function isTrialVerb(verb: OrderVerb): verb is TrialVerb {
  return verb === "lockdown.confirm" || verb === "lockdown.revert";
}

function acceptance(verb: OrderVerb, { operator, keyid, order }: Judged): Parameters<AuditRecorder>[0] {
  const { planHash, reason } = order;
  return {
    event: eventOf(verb, true),
    result: "ok",
    principal: operator.id,
    detail: {
      verb,
      keyid,
      roles: operator.roles.join(" "),
      ...(planHash === undefined ? {} : { planHash }),
      ...(reason === undefined ? {} : { reason: reason.toWellFormed() }),
    },
  };
}

function eventOf(verb: OrderVerb, accepted: boolean): "login.accepted" | "login.refused" | "order.accepted" | "order.refused" {
  if (verb === "console.login") return accepted ? "login.accepted" : "login.refused";
  return accepted ? "order.accepted" : "order.refused";
}

/** Keys are read from a roster once, not for every order. */
function rememberingSigners(roster: () => Roster | undefined): () => Signers {
  let known: { readonly roster: Roster | undefined; readonly signers: Signers } = { roster: undefined, signers: new Map() };
  return () => {
    const current = roster();
    if (current !== known.roster) known = { roster: current, signers: signersOf(current) };
    return known.signers;
  };
}
