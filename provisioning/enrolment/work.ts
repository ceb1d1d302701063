// The steps of enrolment as deeds: each finds what an earlier run left before it makes anything.
import { Fault } from "../../hal/fault.ts";
import type { DeviceKey } from "../../hal/ports.ts";
import { checkIssued, checkStored, type DeviceCertificate, type ExpectedCertificate } from "../certificate/index.ts";
import { describeRequest, signRequest } from "../csr.ts";
import type { Effect, Event } from "./machine.ts";
import type { Enrolled, EnrolmentPorts } from "./ports.ts";
import { loadRequest, storeRequest } from "./record.ts";

/** Faults that no retry mends: the owner must act, or it is a defect of ours. */
const HOPELESS: ReadonlySet<string> = new Set(["key.missing", "key.mismatch", "birth.conflict", "assert.broken"]);

const LATER = {
  "enrol.pending": "ask for a certificate: waiting for an operator to approve this device's id and key fingerprint at the hub",
  "enrol.server-error": "ask for a certificate: the authority is busy",
} as const;

export interface Work {
  /** @throws only what no retry mends; else the event says how it went. */
  perform(effect: Exclude<Effect, { readonly do: "wait" }>): Promise<Event>;
  /** Why the last deed did not succeed. */
  reason(): Fault;
  enrolled(): Enrolled | undefined;
}

interface Held {
  fault?: Fault;
  key?: DeviceKey;
  request?: Uint8Array;
  certificate?: DeviceCertificate;
  prepared: boolean;
}

export function createWork(ports: EnrolmentPorts): Work {
  const { enroller, identity, files, store, random, report } = ports;
  const held: Held = { prepared: false };

  /** [ID-8] */
  const expected = (key: DeviceKey): ExpectedCertificate => ({
    deviceId: identity.id,
    publicKey: key.publicKey,
    authority: ports.authority,
    nowMs: ports.clockTrusted() ? ports.clock.nowMs() : undefined,
  });

  async function settleKey(): Promise<Event> {
    held.key = await ports.settleKey();
    report({ kind: "key-ready", key: held.key });
    return { kind: "key-ready" };
  }

  async function settleRequest(key: DeviceKey): Promise<Event> {
    const { current } = await store.load();
    const earlier = current === undefined || ports.again === true ? undefined : stillGood(current, expected(key));
    if (earlier !== undefined) return arrived(earlier);
    const wanted = describeRequest(identity, key.publicKey, ports.request);
    const stored = await loadRequest(files, wanted);
    held.request = stored ?? (await signRequest(identity, key, ports.request));
    if (stored === undefined) await storeRequest(files, held.request);
    report({ kind: "requested" });
    return { kind: "request-ready" };
  }

  async function ask(key: DeviceKey, request: Uint8Array): Promise<Event> {
    if (!held.prepared) await enroller.prepare();
    held.prepared = true;
    const answer = await enroller.enrol(request);
    if (answer.kind === "later") {
      held.fault = new Fault(answer.code, LATER[answer.code]);
      return { kind: "later", retryAfterMs: answer.retryAfterMs, jitter: random() };
    }
    const certificate = checkIssued(answer.certificates, expected(key));
    await store.putCurrent(certificate.pem);
    return arrived(certificate);
  }

  function arrived(certificate: DeviceCertificate): Event {
    held.certificate = certificate;
    report({ kind: "certificate-ready", certificate });
    return { kind: "certificate-ready" };
  }

  return {
    async perform(effect) {
      try {
        const { key, request } = held;
        if (effect.do === "settle-key" || key === undefined) return await settleKey();
        if (effect.do === "settle-request" || request === undefined) return await settleRequest(key);
        return await ask(key, request);
      } catch (error) {
        if (!(error instanceof Fault) || HOPELESS.has(error.code)) throw error;
        held.fault = error;
        return { kind: "failed", code: error.code, jitter: random() };
      }
    },
    reason: () => held.fault ?? new Fault("assert.broken", "enrolment waits for no reason"),
    enrolled() {
      const { key, certificate } = held;
      return key === undefined || certificate === undefined ? undefined : { key, certificate };
    },
  };
}

/** @returns undefined for a certificate that has expired or is not ours: enrolment goes on, with the same key. [ID-9] */
function stillGood(pem: string, expected: ExpectedCertificate): DeviceCertificate | undefined {
  try {
    return checkStored(pem, expected);
  } catch (error) {
    if (error instanceof Fault && (error.code === "enrol.mismatch" || error.code === "x509.invalid")) return undefined;
    throw error;
  }
}
