// The order service: it issues nonces, judges the orders that come back, and has them carried out.
// The bearer of an order gains nothing by it. [OPS-7] [OPS-9]
import { randomBytes } from "node:crypto";
import { asFault, Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { type AuditRecorder, createRateLimitedRecorder } from "../audit/index.ts";
import type { WardenResult } from "../protocol/format.ts";
import type { VerbHandlers } from "../protocol/index.ts";
import type { Roster } from "../roster/format.ts";
import type { OrderVerb } from "./format/index.ts";
import { judgeOrder, type Judged, type Signers, signersOf } from "./judge.ts";
import { REFUSAL_RECORDED_PERIOD_MS, REFUSALS_RECORDED_BURST_MAX } from "./limits.ts";
import { createOrderNonces, type OrderNonces } from "./nonces.ts";

/**
 * Carries an order out. The executor compares `planHash`, the hash of what the order was about,
 * with what it is about to do.
 * @throws Fault that says why it cannot.
 */
export type Executor = (order: {
  readonly planHash?: string;
  readonly by: string;
  /** The order's own, which names it. */
  readonly nonce: string;
}) => Promise<void>;

/** Orders about a policy on trial, which has a nonce and keys of its own. [LCK-12] */
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
  /** [OPS-20] Without a roster nobody may give orders. */
  readonly roster: () => Roster | undefined;
  /** The hash of what an order of this verb would be about now. */
  readonly planHash: (verb: OrderVerb) => string | undefined;
  /**
   * A verb without an executor is not obeyed by this program. `console.login` has one here: what it
   * grants is its answer.
   */
  readonly executors: Readonly<Partial<Record<OrderVerb, Executor>>>;
  readonly lockdown: TrialOrders;
  /** Never throws. */
  readonly record: AuditRecorder;
  readonly random?: (bytes: number) => Uint8Array;
}

export interface Orders {
  readonly verbs: Pick<VerbHandlers, "order.nonce" | "order.submit" | "order.signer">;
}

type Submitted = WardenResult<"order.submit">;
type Issued = WardenResult<"order.nonce">;

/**
 * The principal in records of orders that the confirm keys of a policy signed: no roster names
 * their owners.
 */
const CONFIRM_KEY = "confirm-key";

export function createOrders(options: OrdersOptions): Orders {
  const service = new OrderService(options);
  return {
    verbs: {
      "order.nonce": async ({ verb }) => service.issueNonce(verb),
      "order.submit": async ({ verb, order }) => await service.submit(verb, order),
      "order.signer": async ({ keyid }) => service.signer(keyid),
    },
  };
}

class OrderService {
  readonly #options: OrdersOptions;
  readonly #executors: OrdersOptions["executors"];
  readonly #nonces: OrderNonces;
  readonly #signers: () => Signers;
  readonly #recordRefusal: AuditRecorder;

  constructor(options: OrdersOptions) {
    const { clock, record, random, roster } = options;
    this.#options = options;
    this.#executors = { "console.login": async () => undefined, ...options.executors };
    this.#nonces = createOrderNonces(random ?? randomBytes);
    this.#signers = cachedSigners(roster);
    this.#recordRefusal = createRateLimitedRecorder(record, clock, REFUSALS_RECORDED_BURST_MAX, REFUSAL_RECORDED_PERIOD_MS);
  }

  /** @throws Fault `lockdown.not-pending` when no policy is on trial; `order.unsupported`. */
  issueNonce(verb: OrderVerb): Issued {
    const { clock, lockdown } = this.#options;
    if (isTrialVerb(verb)) {
      const trial = lockdown.trial();
      if (trial === undefined)
        throw new Fault("lockdown.not-pending", `no order "${verb}" is expected: no policy is being tried`);
      return { nonce: trial.nonce, planHash: trial.planHash };
    }
    this.#executorOf(verb);
    const planHash = this.#options.planHash(verb);
    return { nonce: this.#nonces.issue(verb, clock.monotonicMs()), ...(planHash === undefined ? {} : { planHash }) };
  }

  /** The operator with this key, by the roster in force. [CON-12] */
  signer(keyid: string): WardenResult<"order.signer"> {
    const operator = this.#signers().get(keyid)?.operator;
    return operator === undefined ? {} : { operator: { id: operator.id, roles: [...operator.roles] } };
  }

  /** @throws Fault `order.*` for an order that is refused, and what its executor throws. */
  async submit(verb: OrderVerb, order: string): Promise<Submitted> {
    if (!isTrialVerb(verb)) return await this.#obey(verb, order);
    const { lockdown, record } = this.#options;
    const keyid = await this.#judging(verb, () => submitTrialOrder(verb, order, lockdown));
    await record({ event: "order.accepted", result: "ok", principal: CONFIRM_KEY, detail: { verb, keyid } });
    return { by: CONFIRM_KEY, roles: [], keyid };
  }

  async #obey(verb: OrderVerb, encoded: string): Promise<Submitted> {
    const { record } = this.#options;
    const executor = await this.#judging(verb, async () => this.#executorOf(verb));
    const { operator, keyid, order } = await this.#judging(verb, async () => this.#accept(verb, encoded));
    // before it is carried out: a reboot leaves no time
    await record(acceptance(verb, { operator, keyid, order }));
    try {
      await executor({
        by: operator.id,
        nonce: order.nonce,
        ...(order.planHash === undefined ? {} : { planHash: order.planHash }),
      });
    } catch (error) {
      const { code } = asFault(error, "assert.broken", `carry out "${verb}"`);
      await record({ event: eventOf(verb, false), result: "failed", principal: operator.id, detail: { verb, keyid, code } });
      throw error;
    }
    return { by: operator.id, roles: [...operator.roles], keyid };
  }

  #accept(verb: OrderVerb, encoded: string): Judged {
    const { deviceId, clock, clockTrusted, planHash } = this.#options;
    const judged = judgeOrder(encoded, this.#signers(), {
      verb,
      deviceId,
      planHash: planHash(verb),
      nowMs: clockTrusted() ? clock.nowMs() : undefined,
      isNonceWaiting: (nonce) => this.#nonces.waits(nonce, verb, clock.monotonicMs()),
    });
    // before anything is awaited: the same order sent twice at once counts once
    this.#nonces.spend(judged.order.nonce);
    return judged;
  }

  #executorOf(verb: OrderVerb): Executor {
    const executor = this.#executors[verb];
    if (executor === undefined)
      throw new Fault("order.unsupported", `order "${verb}" is not supported: this program has no executor for it`);
    return executor;
  }

  /**
   * Records what `judge` refuses. What fails later, while the order is carried out, is not a
   * refusal.
   */
  async #judging<T>(verb: OrderVerb, judge: () => Promise<T>): Promise<T> {
    try {
      return await judge();
    } catch (error) {
      if (error instanceof Fault)
        await this.#recordRefusal({ event: eventOf(verb, false), result: "refused", detail: { verb, code: error.code } });
      throw error;
    }
  }
}

/** [LCK-12] The trial judges its orders itself, by its nonce and the keys of its policy. */
async function submitTrialOrder(verb: TrialVerb, order: string, lockdown: TrialOrders): Promise<string> {
  const bytes = Buffer.from(order);
  return await (verb === "lockdown.confirm" ? lockdown.confirm(bytes) : lockdown.revert(bytes));
}

type TrialVerb = "lockdown.confirm" | "lockdown.revert";
function isTrialVerb(verb: OrderVerb): verb is TrialVerb {
  return verb === "lockdown.confirm" || verb === "lockdown.revert";
}

function acceptance(verb: OrderVerb, { operator, keyid, order }: Judged): AuditEntry {
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
      ...(reason === undefined ? {} : { reason: clip(reason, 256) }),
    },
  };
}

function eventOf(verb: OrderVerb, accepted: boolean): "login.accepted" | "login.refused" | "order.accepted" | "order.refused" {
  if (verb === "console.login") return accepted ? "login.accepted" : "login.refused";
  return accepted ? "order.accepted" : "order.refused";
}

/** Keys are parsed once for each roster, not for every order. */
function cachedSigners(roster: () => Roster | undefined): () => Signers {
  let cached: { readonly roster: Roster | undefined; readonly signers: Signers } = { roster: undefined, signers: new Map() };
  return () => {
    const current = roster();
    if (current !== cached.roster) cached = { roster: current, signers: signersOf(current) };
    return cached.signers;
  };
}
