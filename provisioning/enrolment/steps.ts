// The steps of enrolment. Each looks for what an earlier run left before it makes anything.
import { Fault } from "../../hal/fault.ts";
import type { DeviceKey, DurableFiles } from "../../hal/ports.ts";
import { checkIssued, checkStored, type DeviceCertificate, type ExpectedCertificate } from "../certificate/index.ts";
import { describeRequest, signRequest } from "../csr.ts";
import type { Effect, Event } from "./machine.ts";
import type { Enrolled, EnrolmentPorts } from "./ports.ts";
import { loadRequest, storeRequest } from "./record.ts";

/** Faults that no retry can mend: the owner must act, or it is a defect of ours. */
const PERMANENT: ReadonlySet<string> = new Set([
  "key.missing",
  "key.mismatch",
  "key.not-this-board",
  "key.tpm-cleared",
  "birth.conflict",
  "assert.broken",
]);

const LATER = {
  "enrol.pending": "ask for a certificate: waiting for an operator to approve this device's id and key fingerprint at the hub",
  "enrol.id-taken":
    "two boards may claim this id: another key is in force for it at the hub; if this board took the place of the other one, the operator says so there; otherwise give one of them an id of its own, in the file device-id beside its birth record",
  "enrol.server-error": "ask for a certificate: the authority is busy",
} as const;

export interface EnrolmentSteps {
  /** @returns how the step went, as an event. @throws only what no retry can mend. */
  perform(effect: Exclude<Effect, { readonly do: "wait" }>): Promise<Event>;
  /** Why the last step did not succeed. */
  lastFault(): Fault;
  enrolled(): Enrolled | undefined;
}

export function createSteps(ports: EnrolmentPorts): EnrolmentSteps {
  return new Steps(ports);
}

class Steps implements EnrolmentSteps {
  readonly #ports: EnrolmentPorts;
  #prepared = false;
  #key: DeviceKey | undefined;
  #request: Uint8Array | undefined;
  #certificate: DeviceCertificate | undefined;
  #lastFault: Fault | undefined;

  constructor(ports: EnrolmentPorts) {
    this.#ports = ports;
  }

  async perform(effect: Exclude<Effect, { readonly do: "wait" }>): Promise<Event> {
    try {
      if (effect.do === "settle-key" || this.#key === undefined) return await this.#settleKey();
      if (effect.do === "settle-request" || this.#request === undefined) return await this.#settleRequest(this.#key);
      return await this.#enrol(this.#key, this.#request);
    } catch (error) {
      if (!(error instanceof Fault) || PERMANENT.has(error.code)) throw error;
      this.#lastFault = error;
      const jitter = this.#ports.random();
      const { retryAfterMs } = error;
      // an authority under load asks to be left alone, whatever it was asked for [OTA-77]
      if (effect.do === "ask" && retryAfterMs !== undefined) return { kind: "later", retryAfterMs, jitter };
      return { kind: "failed", code: error.code, jitter };
    }
  }

  lastFault(): Fault {
    return this.#lastFault ?? new Fault("assert.broken", "enrolment waits without a reason");
  }

  enrolled(): Enrolled | undefined {
    const [key, certificate] = [this.#key, this.#certificate];
    return key === undefined || certificate === undefined ? undefined : { key, certificate };
  }

  async #settleKey(): Promise<Event> {
    const key = await this.#ports.settleKey();
    this.#key = key;
    this.#ports.report({ kind: "key-ready", key });
    return { kind: "key-ready" };
  }

  async #settleRequest(key: DeviceKey): Promise<Event> {
    const { identity, files, request: options, report } = this.#ports;
    const earlier = await this.#earlier(key, files);
    if (earlier !== undefined) return this.#finish(earlier);
    const stored = await loadRequest(files, describeRequest(identity, key, options));
    this.#request = stored ?? (await signRequest(identity, key, options));
    if (stored === undefined) await storeRequest(files, this.#request);
    report({ kind: "requested" });
    return { kind: "request-ready" };
  }

  async #earlier(key: DeviceKey, files: Pick<DurableFiles, "noteDamage">): Promise<DeviceCertificate | undefined> {
    const { store, again } = this.#ports;
    if (again === true) return undefined;
    const { current } = await store.load();
    return current === undefined ? undefined : stillValid(current, this.#expected(key), files);
  }

  async #enrol(key: DeviceKey, request: Uint8Array): Promise<Event> {
    const { enroller, store, receipts, clock, clockTrusted, random } = this.#ports;
    // [TUN-73] a clock that was ahead for a while, and is right again, takes nothing away
    const earlier = clockTrusted() ? await this.#earlier(key, {}) : undefined;
    if (earlier !== undefined) return this.#finish(earlier);
    if (!this.#prepared) await enroller.prepare();
    this.#prepared = true;
    const answer = await enroller.enrol(request);
    if (answer.kind === "later") {
      this.#lastFault = new Fault(answer.code, LATER[answer.code]);
      return { kind: "later", retryAfterMs: answer.retryAfterMs, jitter: random() };
    }
    const certificate = checkIssued(answer.certificates, this.#expected(key));
    // Before the clock can be trusted the moment is not known, and renewal finds that out [ID-9].
    if (clockTrusted()) await receipts.record(certificate.pem, clock.nowMs());
    await store.putCurrent(certificate.pem);
    return this.#finish(certificate);
  }

  #finish(certificate: DeviceCertificate): Event {
    this.#certificate = certificate;
    this.#ports.report({ kind: "certificate-ready", certificate });
    return { kind: "certificate-ready" };
  }

  /** [ID-8] */
  #expected(key: DeviceKey): ExpectedCertificate {
    const { identity, authority, clock, clockTrusted } = this.#ports;
    return {
      deviceId: identity.id,
      publicKey: key.publicKey,
      authority,
      nowMs: clockTrusted() ? clock.nowMs() : undefined,
    };
  }
}

/**
 * @returns undefined for a certificate that has expired or is not ours: enrolment goes on with the
 *   same key. [ID-23]
 */
function stillValid(
  pem: string,
  expected: ExpectedCertificate,
  { noteDamage }: Pick<DurableFiles, "noteDamage">,
): DeviceCertificate | undefined {
  try {
    return checkStored(pem, expected);
  } catch (error) {
    if (!(error instanceof Fault) || !["enrol.mismatch", "x509.invalid"].includes(error.code)) throw error;
    if (error.code === "x509.invalid")
      noteDamage?.(new Fault(error.code, `the stored certificate is damaged, and another is requested: ${error.message}`));
    return undefined;
  }
}
