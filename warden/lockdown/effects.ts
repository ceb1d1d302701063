// Carries out what the machine decides. [LCK-10] [LCK-11]
import { randomBytes } from "node:crypto";
import { asFault, type Fault } from "../../hal/fault.ts";
import { applyPlan, applyUsb, shutBy, undoneBy } from "./apply.ts";
import { type Plan, planHash, type Policy } from "./format/index.ts";
import { NONCE_BYTES } from "./limits.ts";
import type { Effect, Event } from "./machine.ts";
import { type Difference, differenceOf, planLockdown, risksOf, usbSteps } from "./plan/index.ts";
import type { UsbState } from "../../hal/ports.ts";
import type { LockdownPorts, LockdownSettings } from "./ports.ts";
import { type Accepted, writeRecord } from "./record.ts";
import type { MachineFacts } from "./machine-facts.ts";

export interface Preview {
  readonly plan: Plan;
  readonly planHash: string;
  /** What it would cut; with any of these it is refused. */
  readonly risks: readonly string[];
  readonly difference: Difference;
}

export interface Effects {
  /** @returns what became of it, for an effect that has an outcome. */
  perform(effect: Effect): Promise<Event | undefined>;
  preview(policy: Policy): Promise<Preview>;
  /** Puts `plan`, or the plan of what was accepted, in force where it is not. @returns why it can't be; undefined when it is. */
  restore(wanted: Plan | Accepted | undefined): Promise<Fault | undefined>;
  inForce(): Plan | undefined;
  /** The USB tree when it was last put as planned, or found so. */
  usb(): UsbState;
  /** The first failure since {@link forget}. */
  failure(): Fault | undefined;
  forget(): void;
  /** No timer fires after this. */
  still(): void;
}

/** @param onTimer gets the events of timers that ran out. */
export function createEffects(ports: LockdownPorts, { base }: LockdownSettings, onTimer: (event: Event) => void): Effects {
  const held: { plan: Plan | undefined; usb: UsbState; fault: Fault | undefined } = {
    plan: undefined,
    usb: BLIND.usb,
    fault: undefined,
  };
  const deadline = timer(ports, onTimer);
  const retry = timer(ports, onTimer);

  const snapshot = async (): Promise<MachineFacts> => ({ ...(await ports.look()), usb: await ports.usb.read() });
  const planOf = async (accepted: Accepted | undefined): Promise<Plan> =>
    planLockdown(accepted === undefined ? base : accepted.policy, await snapshot());
  const put = async (plan: Plan, apply: () => Promise<readonly Fault[]>): Promise<void> => {
    const unopened = await apply();
    const usb = await ports.usb.read();
    Object.assign(held, { plan, usb });
    unopened.forEach(ports.report);
  };
  const restore = async (plan: Plan, counter: number | undefined): Promise<void> => {
    const found = { table: await ports.firewall.read(), usb: await ports.usb.read() };
    const before = held.plan;
    const undone = before === undefined ? [] : undoneBy(before, held.usb, found);
    if (found.table !== plan.firewall) await put(plan, () => applyPlan(plan, ports));
    else if (usbSteps(plan.usb, found.usb).length > 0) await put(plan, () => applyUsb(plan, ports.usb));
    else held.usb = found.usb;
    if (undone.length > 0) ports.tell({ kind: "restored", what: undone }, held.plan);
    if (before?.firewall !== plan.firewall) ports.tell({ kind: "enforced", counter }, held.plan); // the machine is another one
  };
  const shut = async (): Promise<void> => {
    held.plan = planLockdown(undefined, await snapshot().catch(() => BLIND)); // that it failed was reported when it failed first
    held.usb = BLIND.usb;
    await shutBy(held.plan, ports);
    held.usb = await ports.usb.read();
  };
  const attempt = async (work: () => Promise<void>): Promise<Fault | undefined> => {
    try {
      await work();
      return undefined;
    } catch (error) {
      const fault = asFault(error, "assert.broken", "change the lockdown");
      held.fault ??= fault;
      ports.report(fault);
      return fault;
    }
  };
  const apply = async (work: () => Promise<void>): Promise<Event> => {
    const fault = await attempt(work);
    return fault === undefined ? applied(ports) : { kind: "apply-failed", code: fault.code };
  };

  return {
    perform: async (effect) => {
      switch (effect.do) {
        case "record": {
          const fault = await attempt(() => writeRecord(ports.files, effect.record));
          return fault === undefined ? { kind: "recorded" } : { kind: "record-failed", code: fault.code };
        }
        case "apply-plan":
          return await apply(() => put(effect.plan, () => applyPlan(effect.plan, ports)));
        case "apply-accepted":
          return await apply(async () => {
            const plan = await planOf(effect.accepted);
            await put(plan, () => applyPlan(plan, ports));
          });
        case "apply-shut":
          await attempt(shut);
          return undefined;
        case "arm":
          deadline.start(effect.forMs, { kind: "withdrawn", reason: "deadline" });
          return undefined;
        case "disarm":
          deadline.stop();
          return undefined;
        case "try-again":
          retry.start(effect.afterMs, { kind: "again" });
          return undefined;
        case "tell":
          ports.tell(effect.news, held.plan);
          return undefined;
      }
    },
    preview: async (policy) => {
      const machine = await snapshot();
      const plan = planLockdown(policy, machine);
      return { plan, planHash: planHash(plan), risks: risksOf(plan, machine), difference: differenceOf(held.plan, plan) };
    },
    restore: (wanted) =>
      attempt(async () => {
        if (wanted !== undefined && "firewall" in wanted) await restore(wanted, undefined);
        else await restore(await planOf(wanted), wanted?.counter);
      }),
    inForce: () => held.plan,
    usb: () => held.usb,
    failure: () => held.fault,
    forget: () => {
      held.fault = undefined;
    },
    still: () => {
      deadline.stop();
      retry.stop();
    },
  };
}

/** [LCK-1] A machine that can't be looked at: nothing at all passes. */
const BLIND: MachineFacts = {
  links: [],
  hub: [],
  nameServers: [],
  console: undefined,
  usb: { controllers: [], ports: [], devices: [] },
};

/** The nonce is made now, so an order over it was given while the new policy was in force. [LCK-12] */
function applied({ clock }: LockdownPorts): Event {
  return { kind: "applied", monotonicMs: clock.monotonicMs(), nonce: randomBytes(NONCE_BYTES).toString("hex") };
}

interface Timer {
  /** Ends the one that runs. */
  start(forMs: number, event: Event): void;
  stop(): void;
}

function timer({ clock }: LockdownPorts, onTimer: (event: Event) => void): Timer {
  const held = { running: new AbortController() };
  return {
    start: (forMs, event) => {
      held.running.abort();
      held.running = new AbortController();
      const { signal } = held.running;
      void clock.sleep(forMs, signal).then(() => (signal.aborted ? undefined : onTimer(event)));
    },
    stop: () => held.running.abort(),
  };
}
