// The lockdown of a machine: it settles the state that a start finds, tries a proposed policy, and
// reverts one that nobody confirms. It needs no agent for any of this. [LCK-10] [LCK-11] [LCK-12]
import { asFault, Fault, type FaultCode } from "../../hal/fault.ts";
import { createPriorityMutex } from "../../hal/mutex.ts";
import type { ForeignChange } from "../../hal/ports.ts";
import { createEffects, type Effects, type Preview } from "./effects.ts";
import { parsePolicy, PLAN_BYTES_MAX, type Plan } from "./format/index.ts";
import { RESTART_WITHIN_MS } from "./limits.ts";
import { type Event, next, start, type State, type Step } from "./machine.ts";
import { type ExpectedTrialOrder, judgeTrialOrder } from "./order.ts";
import type { LockdownPorts, LockdownSettings } from "./ports.ts";
import { type JudgedUsbDevice, judgedDevices } from "./devices.ts";
import { type Accepted, type LockdownRecord, mayTryAgain, readRecord, type Reverted } from "./record.ts";
import { type LockdownStatus, statusOf, type PolicyTrial } from "./status.ts";

export interface Lockdown {
  status(): LockdownStatus;
  /** The plan in force. */
  inForce(): Plan | undefined;
  /** The plan that was in force before the policy on trial; undefined without a trial. */
  beforeTrial(): Plan | undefined;
  /**
   * Why the confirmed policy is not in force though nothing failed: only a newer program can read
   * it. Everything is shut except the way to the hub meanwhile. [STA-5]
   */
  unread(): Fault | undefined;
  /** [LCK-40] What could not be told about the machine, as sentences. */
  notKnown(): readonly string[];
  /** The verdict on each USB device, as of the last check. */
  devices(): readonly JudgedUsbDevice[];
  /** Changes nothing. @throws Fault `lockdown.invalid`. */
  preview(policy: Uint8Array): Promise<Preview>;
  /**
   * Tries a policy whose signature was checked. The policy is in force when the promise resolves,
   * and is reverted unless it is confirmed in time.
   * @param counter that of the TUF target that carries the policy.
   * @throws Fault `lockdown.invalid`, `lockdown.unsafe`, `lockdown.busy`, `lockdown.unchanged`; the
   *   fault of a policy that cannot be put in force, and then the confirmed policy is in force
   *   again.
   */
  propose(policy: Uint8Array, counter: number): Promise<PolicyTrial>;
  /**
   * @returns the id of the key that signed.
   * @throws Fault `lockdown.not-pending`, also for an order that came too late; `order.*`, and then
   *   the policy is still on trial.
   */
  confirm(order: Uint8Array | string): Promise<string>;
  /** Reverts the policy on trial at once. @returns and throws as {@link confirm}. */
  revert(order: Uint8Array | string): Promise<string>;
  /**
   * Restores what others changed and judges what was plugged in. Call it on every USB event, and
   * from time to time.
   */
  recheck(): Promise<void>;
  /**
   * [LCK-69] Puts our table back when another program has changed it.
   * @returns and throws as {@link Effects.mend}.
   */
  mend(change: ForeignChange): Promise<boolean>;
  /**
   * [ID-72] Shuts the doors for `reason`, or opens them again as the confirmed policy says when
   * there is none. A policy on trial is reverted, and none is tried meanwhile. Resolves when that
   * is in force, or everything is shut.
   */
  hold(reason: FaultCode | undefined): Promise<void>;
  /**
   * [LCK-68] The machine is about to restart: a policy on trial is reverted, to be tried again
   * after that, and none is tried meanwhile. Await it before the restart is asked for.
   */
  restarting(): Promise<void>;
  /** The restart was refused. */
  staying(): void;
  /** Reverts an unconfirmed policy. A confirmed policy stays in force when the program ends. */
  stop(): Promise<void>;
}

/**
 * Resolves when the plan is in force or everything is shut. Await it before the network comes up. A
 * machine that fails is reported and tried again later; it does not keep the lockdown from opening.
 */
export async function openLockdown(ports: LockdownPorts, settings: LockdownSettings): Promise<Lockdown> {
  // [OPS-11] what must happen by itself comes before every request that waits
  const mutex = createPriorityMutex();
  const effects: Effects = createEffects(ports, settings, (event) => {
    mutex
      .runFirst(() => driver.handle(event))
      .catch((error: unknown) => ports.report(asFault(error, "assert.broken", "run a lockdown timer")));
  });
  const driver = createDriver(effects, start(await storedRecord(ports)));
  await mutex.runFirst(driver.begin);
  /** What was in force before the last trial. A start ends every trial, so memory is enough. */
  const earlier: { plan: Plan | undefined } = { plan: undefined };
  const restart = { byMs: Number.NEGATIVE_INFINITY };
  return {
    status: () => ({ ...statusOf(driver.state(), effects.inForce(), ports.clock.monotonicMs()), held: effects.held() }),
    inForce: () => effects.inForce(),
    notKnown: () => effects.notKnown(),
    unread: () => unreadPolicy(driver.state().previous),
    devices: () => judgedDevices(effects.inForce(), effects.usb()),
    preview: (policy) => mutex.run(async () => await effects.preview(parsePolicy(policy))),
    propose: (policy, counter) =>
      mutex.run(async () => {
        if (ports.clock.monotonicMs() < restart.byMs)
          throw new Fault("lockdown.busy", "propose a policy: the machine is about to restart; propose it after that");
        const inForce = effects.inForce();
        const trial = await propose(driver, effects, ports, policy, counter);
        earlier.plan = inForce;
        return trial;
      }),
    beforeTrial: () => (driver.state().at === "pending" ? earlier.plan : undefined),
    confirm: (order) => mutex.run(() => carryOutOrder(driver, ports, settings, order, "lockdown.confirm")),
    revert: (order) => mutex.run(() => carryOutOrder(driver, ports, settings, order, "lockdown.revert")),
    recheck: () => mutex.runFirst(() => recheck(driver, effects, ports.clock.monotonicMs())),
    mend: (change) => mutex.runFirst(() => mend(driver, effects, ports.clock.monotonicMs(), change)),
    hold: (reason) => mutex.runFirst(() => hold(driver, effects, ports.clock.monotonicMs(), reason)),
    restarting: () => {
      restart.byMs = ports.clock.monotonicMs() + RESTART_WITHIN_MS;
      return mutex.runFirst(() => driver.handle({ kind: "withdrawn", reason: "stopped" }));
    },
    staying: () => {
      restart.byMs = Number.NEGATIVE_INFINITY;
    },
    stop: () =>
      mutex.runFirst(async () => {
        await driver.handle({ kind: "withdrawn", reason: "stopped" });
        effects.stopTimers();
      }),
  };
}

/**
 * [LCK-30] A record that cannot be trusted counts as none: the base policy holds, and the loss is
 * reported.
 */
async function storedRecord({ files, report }: LockdownPorts): Promise<LockdownRecord | undefined> {
  try {
    return await readRecord(files);
  } catch (error) {
    report(asFault(error, "assert.broken", "read the lockdown record"));
    return undefined;
  }
}

function unreadPolicy(confirmed: Accepted | undefined): Fault | undefined {
  if (confirmed === undefined || confirmed.policy !== undefined) return undefined;
  return new Fault(
    "record.newer",
    `the confirmed policy ${confirmed.counter} was written by a newer program and is kept for it; ` +
      "everything is shut except the way to the hub, until that program runs again or a newer policy that this one reads is confirmed",
  );
}

/** Runs the state machine and its effects, one event after the other. Calls must not overlap. */
interface Driver {
  state(): State;
  begin(this: void): Promise<void>;
  handle(event: Event): Promise<void>;
}

function createDriver(effects: Effects, first: Step): Driver {
  const current: { state: State } = { state: first.state };
  const run = async (step: Step): Promise<void> => {
    current.state = step.state;
    let outcome: Event | undefined;
    for (const effect of step.effects) outcome = await effects.perform(effect);
    // the recursion ends: no state occurs twice without an event from outside
    if (outcome !== undefined) await run(next(current.state, outcome));
  };
  return {
    state: () => current.state,
    begin: () => run(first),
    handle: async (event) => {
      effects.clearFailure();
      await run(next(current.state, event));
    },
  };
}

async function propose(
  driver: Driver,
  effects: Effects,
  { clock }: LockdownPorts,
  bytes: Uint8Array,
  counter: number,
): Promise<PolicyTrial> {
  const policy = parsePolicy(bytes);
  const state = driver.state();
  const held = effects.held();
  if (held !== undefined)
    throw new Fault(
      "lockdown.busy",
      `propose a policy: the doors are shut until the fault ${held} is over; no policy is tried before`,
    );
  if (state.at !== "settled" && state.at !== "shut")
    throw new Fault(
      "lockdown.busy",
      "propose a policy: another one is being tried; confirm it, revert it, or wait until it is reverted",
    );
  expectNewer(counter, state.previous, state.reverted);
  const { plan, planHash, risks } = await effects.preview(policy);
  if (risks.length > 0)
    throw new Fault("lockdown.unsafe", `propose a policy: it would cut what must not be cut: ${risks.join("; ")}`);
  if (Buffer.byteLength(JSON.stringify(plan)) > PLAN_BYTES_MAX)
    throw new Fault(
      "lockdown.invalid",
      `propose a policy: its plan has more than ${PLAN_BYTES_MAX} bytes; name ranges and prefixes`,
    );
  await driver.handle({ kind: "offered", offer: { accepted: { counter, planHash, policy }, plan } });
  const { trial } = statusOf(driver.state(), plan, clock.monotonicMs());
  if (trial === undefined) throw effects.failure() ?? new Fault("lockdown.not-in-force", "propose a policy: it is not in force");
  return trial;
}

/** [LCK-13] @throws Fault `lockdown.unchanged`. */
function expectNewer(counter: number, previous: Accepted | undefined, reverted: Reverted | undefined): void {
  if (previous !== undefined && counter <= previous.counter)
    throw new Fault("lockdown.unchanged", `propose policy ${counter}: policy ${previous.counter} is in force`);
  if (reverted !== undefined && (counter < reverted.counter || (counter === reverted.counter && !mayTryAgain(reverted))))
    throw new Fault(
      "lockdown.unchanged",
      `propose policy ${counter}: policy ${reverted.counter} was tried and reverted (${reverted.reason}); publish it under a higher counter to try it again`,
    );
}

async function carryOutOrder(
  driver: Driver,
  { clock, clockTrusted }: LockdownPorts,
  { deviceId }: LockdownSettings,
  order: Uint8Array | string,
  verb: ExpectedTrialOrder["verb"],
): Promise<string> {
  const state = driver.state();
  if (state.at !== "pending") throw new Fault("lockdown.not-pending", "order refused: no policy is being tried");
  const { policy, planHash } = state.offer.accepted;
  const nowMs = clockTrusted() ? clock.nowMs() : undefined;
  const keyid = judgeTrialOrder(order, policy, { verb, deviceId, nonce: state.nonce, planHash, nowMs });
  if (verb === "lockdown.revert") {
    await driver.handle({ kind: "withdrawn", reason: "ordered" });
    return keyid;
  }
  await driver.handle({ kind: "confirmed", monotonicMs: clock.monotonicMs(), keyid });
  const after = driver.state();
  if (after.at !== "settled" || after.previous !== state.offer.accepted)
    throw new Fault("lockdown.not-pending", "order refused: it came too late or could not be recorded; the policy was reverted");
  return keyid;
}

async function recheck(driver: Driver, effects: Effects, nowMs: number): Promise<void> {
  const state = driver.state();
  // [LCK-15] what is past its deadline must not be put back where the switch has fired
  if (state.at === "pending" && nowMs >= state.confirmByMs) return await driver.handle({ kind: "withdrawn", reason: "deadline" });
  if (state.at === "shut") return await driver.handle({ kind: "retry" });
  const fault = await effects.restore(state.at === "pending" ? state.offer.plan : state.previous);
  if (fault !== undefined)
    await driver.handle(state.at === "pending" ? { kind: "withdrawn", reason: fault.code } : { kind: "retry" });
}

async function mend(driver: Driver, effects: Effects, nowMs: number, change: ForeignChange): Promise<boolean> {
  const state = driver.state();
  // [LCK-15] past the deadline the change may be that of the switch
  if (state.at !== "pending" || nowMs < state.confirmByMs) return await effects.mend(change);
  await driver.handle({ kind: "withdrawn", reason: "deadline" });
  return false;
}

async function hold(driver: Driver, effects: Effects, nowMs: number, reason: FaultCode | undefined): Promise<void> {
  if (effects.held() === reason) return;
  effects.hold(reason);
  if (reason !== undefined && driver.state().at === "pending") return await driver.handle({ kind: "withdrawn", reason });
  await recheck(driver, effects, nowMs);
}
