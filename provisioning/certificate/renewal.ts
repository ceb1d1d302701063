// Drives the certificate's life: runs what the machine decides. [ID-9]
import { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { ClientCredential, EnrolAnswer } from "../enrollers/index.ts";
import { checkIssued, checkStored, type DeviceCertificate, type ExpectedCertificate } from "./check.ts";
import { type Effect, type Event, next, start, type State } from "./machine.ts";
import type { CertificateStore } from "./store.ts";

export interface RenewalPorts {
  readonly store: CertificateStore;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** What a certificate must be; `nowMs` of it is taken from the clock while that can be trusted. */
  readonly expected: Omit<ExpectedCertificate, "nowMs">;
  /** Whether wall-clock decisions may be made now. */
  readonly clockTrusted: () => boolean;
  /** One attempt at /simplereenroll with a fresh request. */
  readonly renew: (current: ClientCredential) => Promise<EnrolAnswer>;
  readonly tlsKey: () => string;
}

/** What the rest of the agent is to do. */
export type RenewalNeed =
  | { readonly need: "nothing" }
  /** Connect with this certificate and report how it went with `proven` or `rejected`. */
  | { readonly need: "connect-with-next"; readonly certificate: DeviceCertificate }
  /** The certificate is lost: run enrolment with the same key, and with `again`. */
  | { readonly need: "enrol-again" };

/** One certificate's life. Calls are not to overlap. */
export interface Renewal {
  /** For status: where in its life the certificate is, and when it is renewed. */
  state(): State;
  /** Settles what the last run left. Call once, first. @throws Fault of the store. */
  begin(): Promise<RenewalNeed>;
  /** Call about once a minute. Renews when it is time; a failed attempt is in `lastFault`, and tried again later. */
  tick(): Promise<RenewalNeed>;
  proven(): Promise<RenewalNeed>;
  rejected(): Promise<RenewalNeed>;
  /** Of the last attempt, until one succeeds. */
  lastFault(): Fault | undefined;
}

interface Held {
  state: State;
  fault: Fault | undefined;
  current: DeviceCertificate;
  next: DeviceCertificate | undefined;
}

/** @param current the certificate in use: checked. */
export function createRenewal(current: DeviceCertificate, ports: RenewalPorts): Renewal {
  const { store, clock, random } = ports;
  const held: Held = { state: start(current, undefined, random()).state, fault: undefined, current, next: undefined };

  const expected = (): ExpectedCertificate => ({ ...ports.expected, nowMs: ports.clockTrusted() ? clock.nowMs() : undefined });

  async function apply(event: Event): Promise<RenewalNeed> {
    const step = next(held.state, event);
    held.state = step.state;
    return run(step.effects);
  }

  async function run(effects: readonly Effect[]): Promise<RenewalNeed> {
    let need: RenewalNeed = { need: "nothing" };
    for (const effect of effects) need = await runOne(effect);
    return need;
  }

  async function runOne(effect: Effect): Promise<RenewalNeed> {
    switch (effect.do) {
      case "request-renewal":
        return apply(await attempt());
      case "connect-with-next":
        return held.next === undefined ? { need: "nothing" } : { need: "connect-with-next", certificate: held.next };
      case "swap-durably":
        held.current = held.next ?? held.current; // also when the disk can't follow: the hub has taken it, and the next start finds it and proves it again
        held.next = undefined;
        await store.swap();
        return { need: "nothing" };
      case "discard-next":
        await store.discardNext();
        held.next = undefined;
        return { need: "nothing" };
      case "enrol-again":
        await forgetNext();
        return { need: "enrol-again" };
    }
  }

  /** What can't be removed now proves nothing later either: no reason to stay without a certificate. */
  async function forgetNext(): Promise<void> {
    held.next = undefined;
    try {
      await store.discardNext();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      held.fault = error;
    }
  }

  /** A full disk or a hub that is down is no reason to give up: each fault is told, and tried again later. */
  async function attempt(): Promise<Event> {
    try {
      const answer = await ports.renew({ certificate: held.current.pem, key: ports.tlsKey() });
      if (answer.kind === "later") {
        held.fault = new Fault(
          answer.code,
          `renew the certificate: the authority says later, in ${answer.retryAfterMs / 1000} s`,
        );
        return { kind: "later", nowMs: clock.nowMs(), retryAfterMs: answer.retryAfterMs, jitter: random() };
      }
      const certificate = checkIssued(answer.certificates, expected());
      await store.putNext(certificate.pem);
      held.next = certificate;
      held.fault = undefined;
      return { kind: "issued", next: certificate };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      held.fault = error;
      return { kind: "failed", code: error.code, nowMs: clock.nowMs(), jitter: random() };
    }
  }

  return {
    state: () => held.state,
    lastFault: () => held.fault,
    async begin() {
      const { next: pem } = await store.load();
      if (pem === undefined) return { need: "nothing" };
      try {
        held.next = checkStored(pem, expected());
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        held.fault = error; // not ours any more (another key, another hub), or damaged: it proves nothing
        await store.discardNext();
        return { need: "nothing" };
      }
      const step = start(held.current, held.next, random());
      held.state = step.state;
      return run(step.effects);
    },
    async tick() {
      return ports.clockTrusted() ? apply({ kind: "tick", nowMs: clock.nowMs() }) : { need: "nothing" };
    },
    proven: async () => apply({ kind: "proven", jitter: random() }),
    rejected: async () => apply({ kind: "rejected-by-hub", nowMs: clock.nowMs(), jitter: random() }),
  };
}
