// Renewal of the device certificate: carries out what the machine decides. [ID-9]
import { Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { EnrolAnswer } from "../enrollers/index.ts";
import type { ClientCredential } from "../tls/index.ts";
import { checkIssued, checkStored, type DeviceCertificate, type ExpectedCertificate } from "./check.ts";
import { type Effect, type Event, next, start, type State, type Validity } from "./machine.ts";
import { RENEW_GAP_RATIO } from "./limits.ts";
import type { CertificateReceipts } from "./receipts.ts";
import type { CertificateStore } from "./store.ts";

export interface RenewalPorts {
  readonly store: CertificateStore;
  readonly receipts: CertificateReceipts;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** What a certificate must be. The clock adds `nowMs` while it can be trusted. */
  readonly expected: Omit<ExpectedCertificate, "nowMs">;
  /** True when decisions may depend on the wall clock now. */
  readonly clockTrusted: () => boolean;
  /** True when the hub has set the clock, and does not accept the certificate at present. */
  readonly clockSure: () => boolean;
  /** True when the hub has not set the clock, and accepts the certificate at present. */
  readonly clockContradicted: () => boolean;
  /** Makes one attempt at /simplereenroll with a fresh request. */
  readonly renew: (current: ClientCredential) => Promise<EnrolAnswer>;
  readonly tlsKey: () => string;
}

/** What the rest of the agent must do. */
export type RenewalNeed =
  | { readonly need: "nothing" }
  /** Connect with this certificate, and report the outcome with `proven` or `rejected`. */
  | { readonly need: "connect-with-next"; readonly certificate: DeviceCertificate }
  /** The certificate begins later than the clock says: ask the hub for the time. [TUN-72] */
  | { readonly need: "time" }
  /** The certificate is lost: run enrolment with the same key, and with `again`. */
  | { readonly need: "enrol-again" };

/** The life of one certificate. Calls must not overlap. */
export interface Renewal {
  /** For the status: where in its life the certificate is, and when it is renewed. */
  state(): State;
  /**
   * Settles what the last run left. Call it once, before the others.
   * @throws Fault of the store.
   */
  begin(): Promise<RenewalNeed>;
  /**
   * Renews when it is time. Call it about once a minute. A failed attempt is in `lastFault`, and is
   * repeated later.
   */
  tick(): Promise<RenewalNeed>;
  proven(): Promise<RenewalNeed>;
  rejected(): Promise<RenewalNeed>;
  /**
   * The hub has refused the certificate in use several times: asks for another, which also tells
   * why. Does nothing when that was done within a tenth of its life. [TUN-71]
   */
  refused(): Promise<RenewalNeed>;
  /** The hub has accepted a connection with the certificate in use. */
  accepted(): Promise<RenewalNeed>;
  /** The fault of the last attempt, until one succeeds. */
  lastFault(): Fault | undefined;
}

/** @param current the certificate in use, which has been checked. */
export function createRenewal(current: DeviceCertificate, ports: RenewalPorts): Renewal {
  return new CertificateRenewal(current, ports);
}

const NOTHING: RenewalNeed = { need: "nothing" };

class CertificateRenewal implements Renewal {
  readonly #ports: RenewalPorts;
  #state: State;
  #current: DeviceCertificate;
  #next: DeviceCertificate | undefined;
  /** Issued, and refused by the disk: stored at the next attempt instead of asking for another. */
  #unstored: DeviceCertificate | undefined;
  #lastFault: Fault | undefined;
  /** When a refusal last made the device ask, by the monotonic clock. */
  #refusedAtMs: number | undefined;

  constructor(current: DeviceCertificate, ports: RenewalPorts) {
    this.#ports = ports;
    this.#current = current;
    this.#state = start(validityOf(current), undefined, ports.random()).state;
  }

  state(): State {
    return this.#state;
  }

  lastFault(): Fault | undefined {
    return this.#lastFault;
  }

  async begin(): Promise<RenewalNeed> {
    const { store, receipts, random } = this.#ports;
    const { next: pem } = await store.load();
    const current = await this.#received(this.#current);
    if (pem === undefined) {
      this.#state = start(current, undefined, random(), await receipts.lastReceivedAtMs()).state;
      return NOTHING;
    }
    try {
      this.#next = checkStored(pem, this.#expected());
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#lastFault = error; // damaged, or for another key or hub: it can prove nothing
      await store.discardNext();
      this.#state = start(current, undefined, random(), await receipts.lastReceivedAtMs()).state;
      return NOTHING;
    }
    const { state, effects } = start(current, await this.#received(this.#next), random());
    this.#state = state;
    return this.#runAll(effects);
  }

  async tick(): Promise<RenewalNeed> {
    const { clock, clockTrusted, clockSure, clockContradicted } = this.#ports;
    if (!clockTrusted()) return NOTHING;
    return this.#apply({ kind: "tick", nowMs: clock.nowMs(), isSure: clockSure(), isContradicted: clockContradicted() });
  }

  async refused(): Promise<RenewalNeed> {
    const { clock, clockTrusted } = this.#ports;
    if (!clockTrusted()) return NOTHING;
    const { notBeforeMs, notAfterMs } = this.#current;
    const lastMs = this.#refusedAtMs ?? Number.NEGATIVE_INFINITY;
    if (clock.monotonicMs() - lastMs < (notAfterMs - notBeforeMs) * RENEW_GAP_RATIO) return this.tick();
    this.#refusedAtMs = clock.monotonicMs();
    return this.#apply({ kind: "refused-by-hub", nowMs: clock.nowMs() });
  }

  async accepted(): Promise<RenewalNeed> {
    return this.#apply({ kind: "accepted-by-hub", jitter: this.#ports.random() });
  }

  proven(): Promise<RenewalNeed> {
    return this.#apply({ kind: "proven", jitter: this.#ports.random() });
  }

  rejected(): Promise<RenewalNeed> {
    const { clock, random } = this.#ports;
    return this.#apply({ kind: "rejected-by-hub", nowMs: clock.nowMs(), jitter: random() });
  }

  async #apply(event: Event): Promise<RenewalNeed> {
    const { state, effects } = next(this.#state, event);
    this.#state = state;
    return this.#runAll(effects);
  }

  async #runAll(effects: readonly Effect[]): Promise<RenewalNeed> {
    let need = NOTHING;
    for (const effect of effects) need = await this.#run(effect);
    return need;
  }

  async #run(effect: Effect): Promise<RenewalNeed> {
    const { store } = this.#ports;
    switch (effect.do) {
      case "record-receipt":
        this.#lastFault = await this.#ports.receipts.record(this.#current.pem, effect.atMs);
        return NOTHING;
      case "request-renewal":
        return this.#apply(await this.#attempt());
      case "ask-time":
        return { need: "time" };
      case "connect-with-next":
        return this.#next === undefined ? NOTHING : { need: "connect-with-next", certificate: this.#next };
      case "swap-durably":
        // Done in memory first, even if the disk then fails: the hub has accepted the certificate,
        // and the next start finds it and proves it again.
        this.#current = this.#next ?? this.#current;
        this.#next = undefined;
        await store.swap();
        return NOTHING;
      case "discard-next":
        await store.discardNext();
        this.#next = undefined;
        return NOTHING;
      case "enrol-again":
        await this.#forgetNext();
        return { need: "enrol-again" };
    }
  }

  /**
   * A next certificate that cannot be removed now proves nothing later either, so a failure is no
   * reason to stay without a certificate.
   */
  async #forgetNext(): Promise<void> {
    this.#next = undefined;
    try {
      await this.#ports.store.discardNext();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#lastFault = error;
    }
  }

  /**
   * A full disk or a hub that is down is no reason to give up: each fault is reported, and the
   * attempt is repeated later.
   */
  async #attempt(): Promise<Event> {
    const { clock, random, renew, tlsKey } = this.#ports;
    try {
      if (this.#unstored !== undefined) return await this.#store(this.#unstored);
      const answer = await renew({ certificate: this.#current.pem, key: tlsKey() });
      if (answer.kind === "later") {
        const { code, retryAfterMs } = answer;
        this.#lastFault = new Fault(code, `renew the certificate: the authority asks to try again in ${retryAfterMs / 1000} s`);
        return { kind: "later", nowMs: clock.nowMs(), retryAfterMs, jitter: random() };
      }
      return await this.#store(this.#anotherOne(checkIssued(answer.certificates, this.#expected())));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#lastFault = error;
      return { kind: "failed", code: error.code, nowMs: clock.nowMs(), jitter: random() };
    }
  }

  /**
   * An authority that answers with the certificate that it was shown has renewed nothing. To count
   * that as received would renew it again and again, faster and faster towards its end.
   * @throws Fault `enrol.mismatch`, after which the device waits a tenth of the life. [ID-24]
   */
  #anotherOne(issued: DeviceCertificate): DeviceCertificate {
    if (issued.serial !== this.#current.serial) return issued;
    throw new Fault("enrol.mismatch", "renew the certificate: the authority answered with the one that is to be renewed");
  }

  /** Records when the certificate was received first: a cut in between must not forget that. */
  async #store(certificate: DeviceCertificate): Promise<Event> {
    const { store, receipts, clock } = this.#ports;
    this.#unstored = certificate;
    const fault = await receipts.record(certificate.pem, clock.nowMs());
    await store.putNext(certificate.pem);
    this.#unstored = undefined;
    this.#next = certificate;
    this.#lastFault = fault;
    return { kind: "issued", next: { ...validityOf(certificate), receivedMs: clock.nowMs() } };
  }

  async #received(certificate: DeviceCertificate): Promise<Validity> {
    return { ...validityOf(certificate), receivedMs: await this.#ports.receipts.receivedAtMs(certificate.pem) };
  }

  #expected(): ExpectedCertificate {
    const { expected, clock, clockTrusted } = this.#ports;
    return { ...expected, nowMs: clockTrusted() ? clock.nowMs() : undefined };
  }
}

function validityOf({ notBeforeMs, notAfterMs }: DeviceCertificate): Validity {
  return { notBeforeMs, notAfterMs };
}
