// Keeps the device's identity: the key of its birth, a certificate that is good, and the next one in time. [ID-6] [ID-9]
import { Fault } from "../../hal/fault.ts";
import type { DeviceIdentity } from "../../hal/format/identity.ts";
import type { DeviceKey } from "../../hal/ports.ts";
import { createRenewal, type DeviceCertificate, type Renewal, type RenewalNeed } from "../../provisioning/certificate/index.ts";
import { type Enrolment, startEnrolment } from "../../provisioning/enrolment/index.ts";
import { signRequest } from "../../provisioning/index.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import { describeIdentity, type IdentityStatus } from "./describe.ts";
import { HOPELESS_RETRY_MS, TICK_MS, WARDEN_RETRY_MS_MAX, WARDEN_RETRY_MS_MIN } from "./limits.ts";
import { nextCheckInMs } from "./renewal-schedule.ts";
import type { IdentityManagerOptions } from "./ports.ts";
import { createProgressReporter } from "./progress.ts";
import { createEventQueue } from "./event-queue.ts";

export interface IdentityManager {
  /** Runs until `signal` aborts; never rejects but for a defect. */
  run(signal: AbortSignal): Promise<void>;
  /** What the tunnel shows. @throws Fault `enrol.pending` before there is a certificate. */
  credentials(): Promise<{ readonly cert: string; readonly key: string }>;
  /** The hub accepted a connection with what `credentials` gave last. */
  connected(): void;
  /** The hub refused one. */
  refused(fault: Fault): void;
  /** The clock was set or the network came back: ask now instead of later. */
  wake(): void;
  status(): IdentityStatus;
}

type News = "proven" | "rejected" | "look";

export function createIdentityManager(parts: IdentityManagerOptions): IdentityManager {
  const { clock, warden, note } = parts;
  const news = createEventQueue<News>(clock);
  const report = createProgressReporter(parts, () => held.identity);
  const held: {
    identity: WardenResult<"identity.read"> | undefined;
    key: { readonly key: DeviceKey; readonly note: string | undefined } | undefined;
    current: DeviceCertificate | undefined;
    proving: DeviceCertificate | undefined;
    shown: string | undefined;
    enrolment: Enrolment | undefined;
    renewal: Renewal | undefined;
    fault: Fault | undefined;
  } = {
    identity: undefined,
    key: undefined,
    current: undefined,
    proving: undefined,
    shown: undefined,
    enrolment: undefined,
    renewal: undefined,
    fault: undefined,
  };

  /** The warden knows who we are; until it answers, and the rest of the agent can begin with that, there is nothing to do. [ID-3] */
  async function askIdentity(signal: AbortSignal): Promise<WardenResult<"identity.read"> | undefined> {
    for (let delayMs = WARDEN_RETRY_MS_MIN; !signal.aborted; delayMs = Math.min(delayMs * 2, WARDEN_RETRY_MS_MAX)) {
      try {
        const told = await warden.call("identity.read", {});
        held.identity = told;
        await parts.onIdentity(told.identity);
        held.fault = undefined;
        return told;
      } catch (error) {
        held.fault = survivable(error);
        await clock.sleep(delayMs, signal);
      }
    }
    return undefined;
  }

  /** Finds or makes the key, and has its birth recorded before anything is asked with it. [ID-6] */
  async function settleKey(): Promise<DeviceKey> {
    if (held.key !== undefined) return held.key.key;
    const { birth } = await warden.call("identity.read", {});
    const settled = await parts.settleKey(birth);
    if (settled.made)
      note({
        event: "key.created",
        result: "ok",
        detail: {
          protection: settled.key.protection,
          fingerprint: settled.key.fingerprint,
          ...(settled.note !== undefined && { note: settled.note }),
        },
      });
    await warden.call("birth.record", { protection: settled.key.protection, keyFingerprint: settled.key.fingerprint });
    held.key = { key: settled.key, note: settled.note };
    return settled.key;
  }

  /** @returns undefined when `signal` aborted. */
  async function enrol(
    identity: DeviceIdentity,
    auditKey: string,
    again: boolean,
    signal: AbortSignal,
  ): Promise<DeviceCertificate | undefined> {
    while (!signal.aborted) {
      held.enrolment = startEnrolment(
        {
          enroller: parts.enroller,
          identity,
          request: { auditKey, enterpriseNumber: parts.enterpriseNumber },
          settleKey,
          files: parts.files,
          store: parts.store,
          authority: parts.authority,
          clock,
          clockTrusted: parts.clockTrusted,
          random: parts.random,
          again,
          report: (progress) => {
            report.progress(progress);
            parts.onProgress(progress);
          },
        },
        signal,
      );
      try {
        const enrolled = await held.enrolment.done;
        held.fault = undefined;
        return enrolled?.certificate;
      } catch (error) {
        const fault = survivable(error);
        if (held.fault?.code !== fault.code)
          note({
            event: "key.unavailable",
            result: "failed",
            detail: { code: fault.code, message: fault.message.slice(0, 512) },
          });
        held.fault = fault;
        await clock.sleep(HOPELESS_RETRY_MS, signal);
      } finally {
        held.enrolment = undefined;
      }
    }
    return undefined;
  }

  /** From one enrolment to the loss of its certificate. */
  async function keep(certificate: DeviceCertificate, identity: DeviceIdentity, signal: AbortSignal): Promise<void> {
    const { store, clock, random, enroller, authority, clockTrusted } = parts;
    const key = await settleKey();
    held.current = certificate;
    held.proving = undefined;
    const renewal = createRenewal(certificate, {
      store,
      clock,
      random,
      clockTrusted,
      expected: { deviceId: identity.id, publicKey: key.publicKey, authority },
      renew: async (current) => {
        const { auditKey } = await warden.call("identity.read", {}); // another one since a new epoch of the log has begun [AUD-10]
        return enroller.renew(await signRequest(identity, key, { auditKey, enterpriseNumber: parts.enterpriseNumber }), current);
      },
      tlsKey: () => key.tlsKey(),
    });
    held.renewal = renewal;
    parts.onCertificate();
    for (
      let need = await tried(() => renewal.begin());
      need.need !== "enrol-again" && !signal.aborted;
      need = await tried(async () => act(renewal, await news.next(lookIn(renewal), signal)))
    )
      follow(need);
    held.renewal = undefined;
    if (!signal.aborted) {
      note({ event: "certificate.expired", result: "failed", detail: { serial: held.current.serial } });
      parts.onCertificateLost();
    }
  }

  const lookIn = (renewal: Renewal): number => (parts.clockTrusted() ? nextCheckInMs(renewal.state(), clock.nowMs()) : TICK_MS);

  /** A disk that takes nothing more is told and outlived: the certificate in use stays in use. */
  async function tried(step: () => Promise<RenewalNeed>): Promise<RenewalNeed> {
    try {
      const need = await step();
      held.fault = undefined;
      return need;
    } catch (error) {
      held.fault = survivable(error);
      return { need: "nothing" };
    }
  }

  async function act(renewal: Renewal, what: News | undefined): Promise<RenewalNeed> {
    const next = held.proving;
    if (next === undefined || what === "look" || what === undefined) return renewal.tick();
    held.proving = undefined;
    if (what === "rejected") {
      note({
        event: "enrolment.failed",
        result: "refused",
        detail: { what: "the hub refused a connection with the renewed certificate", serial: next.serial },
      });
      const need = await renewal.rejected();
      parts.onCertificate();
      return need;
    }
    held.current = next;
    const need = await renewal.proven();
    note({
      event: "certificate.renewed",
      result: "ok",
      detail: { serial: next.serial, notAfter: new Date(next.notAfterMs).toISOString() },
    });
    return need;
  }

  function follow(need: RenewalNeed): void {
    if (need.need !== "connect-with-next" || held.proving?.serial === need.certificate.serial) return;
    held.proving = need.certificate;
    parts.onCertificate();
  }

  return {
    async run(signal) {
      const told = await askIdentity(signal);
      if (told === undefined) return;
      for (let again = false; !signal.aborted; again = true) {
        const certificate = await enrol(told.identity, told.auditKey, again, signal);
        if (certificate !== undefined) await keep(certificate, told.identity, signal);
      }
    },
    async credentials() {
      const certificate = held.proving ?? held.current;
      if (certificate === undefined || held.key === undefined)
        throw new Fault("enrol.pending", "connect to the hub: this device has no certificate yet");
      held.shown = certificate.pem;
      return { cert: certificate.pem, key: held.key.key.tlsKey() };
    },
    connected() {
      if (held.proving === undefined) return;
      if (held.shown === held.proving.pem) news.put("proven");
      else parts.onCertificate(); // this connection was begun before there was another certificate to show
    },
    refused(fault) {
      if (held.proving !== undefined && held.shown === held.proving.pem && fault.code === "tunnel.refused") news.put("rejected");
      else if (fault.code === "tunnel.refused") news.put("look");
    },
    wake() {
      held.enrolment?.wake();
      news.put("look");
    },
    status: () =>
      describeIdentity({
        ...held,
        identity: held.identity?.identity,
        enrolmentFault: report.fault(),
        requested: report.requested(),
      }),
  };
}

/** @returns what goes wrong in the world, to be shown and tried again. @throws what is a defect of ours. */
function survivable(error: unknown): Fault {
  if (!(error instanceof Fault) || error.code === "assert.broken") throw error;
  return error;
}
