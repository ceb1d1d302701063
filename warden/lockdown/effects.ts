// The effects of the lockdown state machine, performed on the packet filter, the USB tree and the
// record. [LCK-10] [LCK-11]
import { randomBytes } from "node:crypto";
import { asFault, type Fault, type FaultCode } from "../../hal/fault.ts";
import type { Clock, ForeignChange, UsbState } from "../../hal/ports.ts";
import { applyPlan, applyUsb, type Executors, shutBy, tableChange, undoneBy } from "./apply.ts";
import { type Plan, planHash, type Policy } from "./format/index.ts";
import { CONFIRM_WITHIN_S_MAX } from "./format/limits.ts";
import { APPLY_WITHIN_MS, NONCE_BYTES, SWITCH_GRACE_MS } from "./limits.ts";
import type { Effect, Event } from "./machine.ts";
import type { MachineFacts } from "./machine-facts.ts";
import { type Difference, differenceOf, notKnownNow, planLockdown, risksOf, usbSteps } from "./plan/index.ts";
import type { LockdownPorts, LockdownSettings } from "./ports.ts";
import { type Accepted, writeRecord } from "./record.ts";
import { createTrialSwitch, type TrialSwitch } from "./trial-switch.ts";

export interface Preview {
  readonly plan: Plan;
  readonly planHash: string;
  /** What the plan would cut. A policy with any risk is refused. */
  readonly risks: readonly string[];
  readonly difference: Difference;
}

export interface Effects {
  /** @returns the outcome as an event, for an effect that has one. */
  perform(effect: Effect): Promise<Event | undefined>;
  preview(policy: Policy): Promise<Preview>;
  /**
   * Puts `wanted` (a plan, or the plan of an accepted policy) in force where it is not.
   * @returns why it cannot be put in force; undefined when it is.
   */
  restore(wanted: Plan | Accepted | undefined): Promise<Fault | undefined>;
  /**
   * [LCK-69] Puts the table of the plan in force back where it is not, without planning anew: it is
   * another program's change, and every moment counts.
   * @returns true when another program had changed it.
   * @throws Fault `firewall.*`, `process.*`: the next comparison finds the same, and judges it.
   */
  mend(change: ForeignChange): Promise<boolean>;
  inForce(): Plan | undefined;
  /** [LCK-40] What could not be told about the machine, and what the plan in force makes of it. */
  notKnown(): readonly string[];
  /**
   * [ID-72] From the next apply on, every policy counts in mode "shut" as long as there is a
   * reason. What is in force does not change by this call.
   */
  hold(reason: FaultCode | undefined): void;
  held(): FaultCode | undefined;
  /** The USB tree when it was last put as planned, or found so. */
  usb(): UsbState;
  /** The first failure since {@link clearFailure}. */
  failure(): Fault | undefined;
  clearFailure(): void;
  /** Stops the timers: none fires after this. */
  stopTimers(): void;
}

/** @param onTimer receives the event of a timer that ran out. */
export function createEffects(ports: LockdownPorts, settings: LockdownSettings, onTimer: (event: Event) => void): Effects {
  return new LockdownEffects(ports, settings, onTimer);
}

/** [LCK-30] Facts of a machine that cannot be read: planned on these, nothing at all passes. */
const NO_FACTS: MachineFacts = {
  links: [],
  leads: [],
  mayLead: [],
  hub: [],
  nameServers: [],
  nameService: "unused",
  dnsOverTls: "unused",
  console: undefined,
  usb: { controllers: [], ports: [], devices: [] },
};

class LockdownEffects implements Effects {
  readonly #ports: LockdownPorts;
  readonly #switch: TrialSwitch;
  readonly #executors: Executors;
  readonly #base: Policy | undefined;
  readonly #deadline: Timer;
  readonly #retry: Timer;
  #plan: Plan | undefined;
  /** As they were read last. */
  #facts: MachineFacts = NO_FACTS;
  #usb: UsbState = NO_FACTS.usb;
  #failure: Fault | undefined;
  #held: FaultCode | undefined;

  constructor(ports: LockdownPorts, { base, held }: LockdownSettings, onTimer: (event: Event) => void) {
    this.#ports = ports;
    this.#switch = createTrialSwitch(ports);
    this.#executors = { firewall: ports.firewall, usb: this.#switch.usb };
    this.#base = base;
    this.#held = held;
    this.#deadline = createTimer(ports.clock, onTimer);
    this.#retry = createTimer(ports.clock, onTimer);
  }

  async perform(effect: Effect): Promise<Event | undefined> {
    switch (effect.do) {
      case "record": {
        const fault = await this.#attempt(() => writeRecord(this.#ports.files, effect.record));
        return fault === undefined ? { kind: "recorded" } : { kind: "record-failed", code: fault.code };
      }
      case "apply-plan":
        return await this.#applied(() => this.#tryOut(effect.plan));
      case "apply-accepted":
        return await this.#applied(async () => this.#apply(await this.#planOf(effect.accepted)));
      case "apply-shut":
        await this.#attempt(() => this.#shut());
        return undefined;
      case "arm-deadline":
        this.#deadline.start(effect.forMs, { kind: "withdrawn", reason: "deadline" });
        return await this.#extendSwitch(effect.forMs + SWITCH_GRACE_MS);
      case "disarm-deadline":
        this.#deadline.stop();
        return undefined;
      case "disarm-switch":
        await this.#attempt(() => this.#disarmSwitch());
        return undefined;
      case "arm-retry":
        this.#retry.start(effect.afterMs, { kind: "retry" });
        return undefined;
      case "audit":
        this.#ports.audit(effect.report, this.#plan);
        return undefined;
    }
  }

  async preview(policy: Policy): Promise<Preview> {
    const facts = await this.#readFacts();
    const plan = planLockdown(policy, facts);
    return { plan, planHash: planHash(plan), risks: risksOf(plan, facts), difference: differenceOf(this.#plan, plan) };
  }

  async restore(wanted: Plan | Accepted | undefined): Promise<Fault | undefined> {
    return await this.#attempt(async () => {
      if (wanted !== undefined && "firewall" in wanted) await this.#restore(wanted, undefined);
      else await this.#restore(await this.#planOf(wanted), wanted?.counter);
    });
  }

  async mend({ by }: ForeignChange): Promise<boolean> {
    const plan = this.#plan;
    if (plan === undefined) return false;
    const found = await this.#ports.firewall.read();
    if (found === plan.firewall) return false;
    // what is read back need not be this table: it may have been changed again, which is told too
    await this.#ports.firewall.replace(plan.firewall);
    this.#ports.audit({ kind: "restored", what: [tableChange(plan.firewall, found)], by }, plan);
    return true;
  }

  inForce(): Plan | undefined {
    return this.#plan;
  }

  notKnown(): readonly string[] {
    return this.#plan === undefined ? [] : notKnownNow(this.#plan, this.#facts);
  }

  hold(reason: FaultCode | undefined): void {
    this.#held = reason;
  }

  held(): FaultCode | undefined {
    return this.#held;
  }

  usb(): UsbState {
    return this.#usb;
  }

  failure(): Fault | undefined {
    return this.#failure;
  }

  clearFailure(): void {
    this.#failure = undefined;
  }

  stopTimers(): void {
    this.#deadline.stop();
    this.#retry.stop();
  }

  async #readFacts(): Promise<MachineFacts> {
    this.#facts = { ...(await this.#ports.readFacts()), usb: await this.#ports.usb.read() };
    return this.#facts;
  }

  async #planOf(accepted: Accepted | undefined): Promise<Plan> {
    const policy = accepted === undefined ? this.#base : accepted.policy;
    return planLockdown(this.#held === undefined ? policy : closed(policy), await this.#readFacts());
  }

  async #apply(plan: Plan): Promise<void> {
    await this.#put(plan, () => applyPlan(plan, this.#executors));
  }

  /**
   * [LCK-15] The switch is armed first: from the first change on, nothing that happens to this
   * program keeps the policy in force.
   */
  async #tryOut(plan: Plan): Promise<void> {
    const before = this.#plan ?? planLockdown(undefined, await this.#readFacts());
    await this.#switch.begin(before, plan, (plan.confirm?.withinS ?? CONFIRM_WITHIN_S_MAX) * 1000 + APPLY_WITHIN_MS);
    await this.#apply(plan);
  }

  /**
   * From now on: until then the switch had to allow for a slow apply as well. One that has fired by
   * now ends the trial; after another failure the first one stays armed.
   */
  async #extendSwitch(afterMs: number): Promise<Event | undefined> {
    const fault = await this.#attempt(() => this.#switch.extend(afterMs));
    return fault?.code === "lockdown.not-in-force" ? { kind: "withdrawn", reason: "deadline" } : undefined;
  }

  async #disarmSwitch(): Promise<void> {
    if (await this.#switch.end()) this.#ports.audit({ kind: "switch-fired" }, this.#plan);
  }

  async #put(plan: Plan, apply: () => Promise<readonly Fault[]>): Promise<void> {
    const unopened = await apply();
    this.#usb = await this.#ports.usb.read();
    this.#plan = plan;
    unopened.forEach(this.#ports.report);
  }

  /**
   * Compares `plan` with the machine, applies what differs, and records what others had changed.
   */
  async #restore(plan: Plan, counter: number | undefined): Promise<void> {
    const { firewall, usb, audit } = this.#ports;
    const found = { table: await firewall.read(), usb: await usb.read() };
    const before = this.#plan;
    const undone = before === undefined ? [] : undoneBy(before, this.#usb, found);
    if (found.table !== plan.firewall) await this.#apply(plan);
    else if (usbSteps(plan.usb, found.usb).length > 0) await this.#put(plan, () => applyUsb(plan, this.#executors.usb));
    else this.#usb = found.usb;
    if (undone.length > 0) audit({ kind: "restored", what: undone }, this.#plan);
    // another table for the same policy: the facts of the machine have changed
    if (before?.firewall !== plan.firewall) audit({ kind: "enforced", counter }, this.#plan);
  }

  async #shut(): Promise<void> {
    // why the facts cannot be read was reported when it failed first
    this.#plan = planLockdown(undefined, await this.#readFacts().catch(() => NO_FACTS));
    this.#usb = NO_FACTS.usb;
    await shutBy(this.#plan, this.#executors);
    this.#usb = await this.#ports.usb.read();
  }

  /**
   * The nonce is made now, so that an order over it was given while the new policy was in force.
   * [LCK-12]
   */
  async #applied(work: () => Promise<void>): Promise<Event> {
    const fault = await this.#attempt(work);
    if (fault !== undefined) return { kind: "apply-failed", code: fault.code };
    const nonce = randomBytes(NONCE_BYTES).toString("hex");
    return { kind: "applied", monotonicMs: this.#ports.clock.monotonicMs(), nonce };
  }

  async #attempt(work: () => Promise<void>): Promise<Fault | undefined> {
    try {
      await work();
      return undefined;
    } catch (error) {
      const fault = asFault(error, "assert.broken", "change the lockdown");
      this.#failure ??= fault;
      this.#ports.report(fault);
      return fault;
    }
  }
}

/**
 * [ID-72] The same policy with its doors shut: its links, uplink devices and serial lines stay, and
 * with them the console and the way to the hub. [LCK-1] [LCK-31]
 */
function closed(policy: Policy | undefined): Policy | undefined {
  return policy === undefined ? undefined : { ...policy, mode: "shut" };
}

interface Timer {
  /** Replaces the timer that runs. */
  start(forMs: number, event: Event): void;
  stop(): void;
}

function createTimer(clock: Clock, onTimer: (event: Event) => void): Timer {
  let running = new AbortController();
  return {
    start: (forMs, event) => {
      running.abort();
      running = new AbortController();
      const { signal } = running;
      void clock.sleep(forMs, signal).then(() => (signal.aborted ? undefined : onTimer(event)));
    },
    stop: () => running.abort(),
  };
}
