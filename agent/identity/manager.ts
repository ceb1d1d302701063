// The manager of the device's identity: the key that was born with it, a valid certificate, and the
// next certificate before that one expires. [ID-6] [ID-9]
import { Fault } from "../../hal/fault.ts";
import { defined } from "../../hal/format/defined.ts";
import type { Protection } from "../../hal/format/identity.ts";
import type { DeviceKey } from "../../hal/ports.ts";
import { createRenewal, type DeviceCertificate, type Renewal, type RenewalNeed } from "../../provisioning/certificate/index.ts";
import { type Enrolment, startEnrolment } from "../../provisioning/enrolment/index.ts";
import { signRequest } from "../../provisioning/index.ts";
import type { UpgradeNeed } from "../../provisioning/upgrade/index.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import { faultDetail } from "../fault-detail.ts";
import { describeIdentity, type IdentityStatus } from "./describe.ts";
import { type CertificateCandidate, type CertificateEvent, isVerdict } from "./candidate.ts";
import { createEventQueue, type EventQueue } from "./event-queue.ts";
import { type KeyUpgrader, openKeyUpgrader } from "./key-upgrader.ts";
import type { IdentityManagerOptions } from "./ports.ts";
import { createProgressReporter, type ProgressReporter } from "./progress.ts";
import { CHECK_MS_MAX, CHECK_MS_MIN, nextCheckInMs } from "./renewal-schedule.ts";

/** The warden starts beside the agent: it is asked at once, then less and less often. */
const WARDEN_RETRY_MS_MIN = 100;
const WARDEN_RETRY_MS_MAX = 5_000;
/**
 * [TUN-71] Connections in a row that the hub refuses, before the device asks for another
 * certificate. One is enough where the hub has accepted the certificate before.
 */
const REFUSALS_MAX = 3;
/**
 * Wait after a fault of the key, which time alone does not repair: the owner may have put the TPM
 * or the record back.
 */
const KEY_RETRY_MS = 60_000;

export interface IdentityManager {
  /** Runs until `signal` aborts. Rejects only for a defect in our code. */
  run(signal: AbortSignal): Promise<void>;
  /**
   * Certificate and key for the next connection.
   * @throws Fault `enrol.pending` before there is a certificate; `key.*` while the TPM refuses the
   *   key.
   */
  credentials(): Promise<{ readonly cert: string; readonly key: string }>;
  /** The hub accepted a connection with what `credentials` returned last. */
  connected(): void;
  /** That connection is over. */
  disconnected(): void;
  /** The hub refused a connection. */
  refused(fault: Fault): void;
  /** The clock was set or the network came back: asks now instead of later. */
  wake(): void;
  status(): IdentityStatus;
  /** What keeps the key that `credentials` returned last; while a key is upgraded there are two. */
  presentedProtection(): Protection | undefined;
}

type IdentityAnswer = WardenResult<"identity.read">;

export function createIdentityManager(options: IdentityManagerOptions): IdentityManager {
  return new DeviceIdentityManager(options);
}

class DeviceIdentityManager implements IdentityManager {
  readonly #options: IdentityManagerOptions;
  readonly #events: EventQueue<CertificateEvent>;
  readonly #progress: ProgressReporter;
  #identity: IdentityAnswer | undefined;
  #key: { readonly key: DeviceKey; readonly note: string | undefined } | undefined;
  #current: DeviceCertificate | undefined;
  #next: CertificateCandidate | undefined;
  /** PEM of the certificate that `credentials` returned last. */
  #presented: { readonly pem: string; readonly protection: Protection } | undefined;
  #enrolment: Enrolment | undefined;
  #renewal: Renewal | undefined;
  #upgrader: KeyUpgrader | undefined;
  /** The key was replaced, and its certificate is the current one on disk. */
  #isSwitched = false;
  #fault: Fault | undefined;
  /**
   * TLS could not load the key. One signature finds it where another program has put its parent, or
   * says in words what is in the way.
   */
  #isKeyInDoubt = false;
  /** The hub accepts the certificate in use at present. */
  #isConnected = false;
  /** Connections in a row that the hub refused. */
  #refusals = 0;
  /** The hub accepted the certificate in use in this run. */
  #wasAccepted = false;

  constructor(options: IdentityManagerOptions) {
    this.#options = options;
    this.#events = createEventQueue<CertificateEvent>(options.clock);
    this.#progress = createProgressReporter(options.note, () => this.#identity?.identity.id);
  }

  async run(signal: AbortSignal): Promise<void> {
    const answer = await this.#readIdentity(signal);
    if (answer === undefined) return;
    this.#upgrader = await this.#openUpgrader(answer);
    for (let isRepeated = false; !signal.aborted; isRepeated = !this.#isSwitched && !this.#isOverByClock()) {
      this.#isSwitched = false;
      const certificate = await this.#enrol(answer, isRepeated, signal);
      if (certificate !== undefined) await this.#maintain(certificate, answer, signal);
    }
  }

  async credentials(): Promise<{ readonly cert: string; readonly key: string }> {
    const { pem } = this.#next?.certificate ?? this.#certificate();
    const key = this.#next?.key ?? this.#recordedKey();
    if (this.#isKeyInDoubt) {
      await key.sign(new Uint8Array());
      this.#isKeyInDoubt = false;
    }
    this.#presented = { pem, protection: key.protection };
    return { cert: pem, key: key.tlsKey() };
  }

  connected(): void {
    this.#isConnected = true;
    this.#refusals = 0;
    this.#wasAccepted = true;
    this.#events.put("connected");
    if (this.#next === undefined) return;
    if (this.#presented?.pem === this.#next.certificate.pem) this.#events.put("accepted");
    else this.#options.onCertificate(); // this connection was begun with the certificate before
  }

  disconnected(): void {
    this.#isConnected = false;
  }

  refused(fault: Fault): void {
    if (fault.code === "key.tpm-unavailable") this.#isKeyInDoubt = true;
    if (fault.code !== "tunnel.refused" && fault.code !== "tunnel.revoked") return;
    const isCertain = this.#wasAccepted || fault.code === "tunnel.revoked";
    this.#refusals = isCertain ? REFUSALS_MAX : this.#refusals + 1;
    const isNext = this.#next !== undefined && this.#presented?.pem === this.#next.certificate.pem;
    this.#events.put(isNext ? "rejected" : "refused");
  }

  wake(): void {
    this.#enrolment?.wake();
    this.#events.put("check");
  }

  status(): IdentityStatus {
    return describeIdentity({
      identity: this.#identity?.identity,
      birth: this.#identity?.birth,
      key: this.#key,
      current: this.#current,
      renewal: this.#renewal,
      fault: this.#fault,
      enrolmentFault: this.#progress.fault(),
      requested: this.#progress.requested(),
      upgrade: this.#upgrader?.facts() ?? { strongest: undefined, state: { at: "idle" }, lastFault: undefined },
    });
  }

  presentedProtection(): Protection | undefined {
    return this.#presented?.protection ?? this.#key?.key.protection;
  }

  #certificate(): DeviceCertificate {
    if (this.#current !== undefined) return this.#current;
    throw new Fault("enrol.pending", "connect to the hub: this device has no certificate yet");
  }

  #recordedKey(): DeviceKey {
    if (this.#key !== undefined) return this.#key.key;
    throw new Fault("enrol.pending", "connect to the hub: this device has no key yet");
  }

  #openUpgrader({ identity }: IdentityAnswer): Promise<KeyUpgrader> {
    return openKeyUpgrader({
      ...this.#options,
      identity,
      oldCredential: () => ({ certificate: this.#certificate().pem, key: this.#recordedKey().tlsKey() }),
    });
  }

  /**
   * Asks the warden who this device is, until it answers and the agent has opened what depends on
   * the answer. [ID-3]
   * @returns undefined when `signal` aborted.
   */
  async #readIdentity(signal: AbortSignal): Promise<IdentityAnswer | undefined> {
    const { warden, clock, onIdentity } = this.#options;
    for (let delayMs = WARDEN_RETRY_MS_MIN; !signal.aborted; delayMs = Math.min(delayMs * 2, WARDEN_RETRY_MS_MAX)) {
      try {
        const answer = await warden.call("identity.read", {});
        this.#identity = answer;
        await onIdentity(answer.identity);
        this.#fault = undefined;
        return answer;
      } catch (error) {
        this.#fault = faultOrThrow(error);
        await clock.sleep(delayMs, signal);
      }
    }
    return undefined;
  }

  /**
   * Finds or makes the key, and has its birth recorded before it is used for any request. [ID-6]
   */
  async #settleKey(): Promise<DeviceKey> {
    if (this.#key !== undefined) return this.#key.key;
    const { warden } = this.#options;
    const { birth } = await warden.call("identity.read", {});
    await this.#upgrader?.settle(birth);
    const { key, made, note } = await this.#options.settleKey(birth);
    const { protection, fingerprint, chip } = key;
    if (made)
      this.#options.note({
        event: "key.created",
        result: "ok",
        detail: { protection, fingerprint, ...(note !== undefined && { note }) },
      });
    await warden.call("birth.record", { protection, keyFingerprint: fingerprint, ...defined({ chip }) });
    this.#key = { key, note };
    return key;
  }

  /**
   * Enrols until there is a certificate.
   * @param isRepeated the device had one in this run of the agent and lost it.
   * @returns undefined when `signal` aborted.
   */
  async #enrol(answer: IdentityAnswer, isRepeated: boolean, signal: AbortSignal): Promise<DeviceCertificate | undefined> {
    while (!signal.aborted) {
      this.#enrolment = this.#startEnrolment(answer, isRepeated, signal);
      try {
        const enrolled = await this.#enrolment.done;
        this.#fault = undefined;
        return enrolled?.certificate;
      } catch (error) {
        this.#keyFailed(faultOrThrow(error));
        await this.#options.clock.sleep(KEY_RETRY_MS, signal);
      } finally {
        this.#enrolment = undefined;
      }
    }
    return undefined;
  }

  #startEnrolment({ identity, auditKey }: IdentityAnswer, isRepeated: boolean, signal: AbortSignal): Enrolment {
    const { enroller, enterpriseNumber, files, store, receipts, authority, clock, clockTrusted, random, onProgress } =
      this.#options;
    return startEnrolment(
      {
        enroller,
        identity,
        request: { auditKey, enterpriseNumber },
        settleKey: () => this.#settleKey(),
        files,
        store,
        receipts,
        authority,
        clock,
        clockTrusted,
        random,
        again: isRepeated,
        report: (progress) => {
          this.#progress.record(progress);
          onProgress(progress);
        },
      },
      signal,
    );
  }

  #keyFailed(fault: Fault): void {
    const before = this.#fault;
    this.#fault = fault;
    if (before?.message !== fault.message) this.#options.onKeyFault(fault);
    if (before?.code !== fault.code)
      this.#options.note({ event: "key.unavailable", result: "failed", detail: faultDetail(fault) });
  }

  /** Keeps a certificate valid, from its enrolment to its loss. */
  async #maintain(certificate: DeviceCertificate, answer: IdentityAnswer, signal: AbortSignal): Promise<void> {
    const { note, onCertificate, onCertificateLost } = this.#options;
    const renewal = this.#createRenewal(certificate, await this.#settleKey(), answer);
    this.#current = certificate;
    this.#next = undefined;
    this.#renewal = renewal;
    onCertificate();
    let need = await this.#attempt(() => renewal.begin());
    let isLost = need.need === "enrol-again";
    this.#events.put("check"); // an upgrade may be under way, or be possible
    // A new key that the hub may have accepted is tried before the old one enrols again.
    while ((!isLost || this.#upgrader?.isProving() === true) && !this.#isSwitched && !signal.aborted) {
      if (need.need === "connect-with-next")
        this.#connectWith({ certificate: need.certificate, key: this.#recordedKey(), of: "renewal" });
      if (need.need === "time") this.#options.onTimeInDoubt();
      const event = await this.#events.next(this.#waitMs(renewal), signal);
      const of = this.#proves();
      if (of !== "upgrade") need = await this.#attempt(() => this.#apply(renewal, event));
      isLost ||= need.need === "enrol-again";
      await this.#advanceUpgrade(of === "renewal" && isVerdict(event) ? "check" : event);
    }
    this.#renewal = undefined;
    if (signal.aborted || this.#isSwitched) return;
    const { serial, notBeforeMs, notAfterMs } = this.#current;
    const dates = { notBefore: new Date(notBeforeMs).toISOString(), notAfter: new Date(notAfterMs).toISOString() };
    note({ event: "certificate.expired", result: "failed", detail: { serial, ...dates } });
    onCertificateLost();
  }

  /** By a clock that the hub has not set, so the certificate may turn out to be valid. [TUN-73] */
  #isOverByClock(): boolean {
    const { clock, clockSynced } = this.#options;
    return this.#current !== undefined && clock.nowMs() >= this.#current.notAfterMs && !clockSynced();
  }

  #createRenewal(certificate: DeviceCertificate, key: DeviceKey, { identity }: IdentityAnswer): Renewal {
    const { warden, enroller, enterpriseNumber, store, receipts, clock, random, authority, clockTrusted, clockSynced } =
      this.#options;
    return createRenewal(certificate, {
      store,
      receipts,
      clock,
      random,
      clockTrusted,
      clockSure: () => clockSynced() && !this.#isConnected,
      clockContradicted: () => !clockSynced() && this.#isConnected,
      expected: { deviceId: identity.id, publicKey: key.publicKey, authority },
      renew: async (current) => {
        // The audit key is asked for each time: a new epoch of the log has a new one. [AUD-24]
        const { auditKey } = await warden.call("identity.read", {});
        return enroller.renew(await signRequest(identity, key, { auditKey, enterpriseNumber }), current);
      },
      tlsKey: () => key.tlsKey(),
    });
  }

  #checkInMs(renewal: Renewal): number {
    const { clock, clockTrusted } = this.#options;
    return clockTrusted() ? nextCheckInMs(renewal.state(), clock.nowMs()) : CHECK_MS_MAX;
  }

  /**
   * A disk that takes no more bytes is reported and survived: the certificate in use stays in use.
   */
  async #attempt(step: () => Promise<RenewalNeed>): Promise<RenewalNeed> {
    try {
      const need = await step();
      this.#fault = undefined;
      return need;
    } catch (error) {
      this.#fault = faultOrThrow(error);
      return { need: "nothing" };
    }
  }

  /** @param event undefined when it is time to check the certificate's dates. */
  async #apply(renewal: Renewal, event: CertificateEvent | undefined): Promise<RenewalNeed> {
    const next = this.#next;
    if (next === undefined && event === "connected") return renewal.accepted();
    if (next === undefined && event === "refused" && this.#refusals >= REFUSALS_MAX) return renewal.refused();
    if (next === undefined || !isVerdict(event)) return renewal.tick();
    this.#next = undefined;
    return event === "rejected" ? this.#rejected(renewal, next.certificate) : this.#accepted(renewal, next.certificate);
  }

  async #advanceUpgrade(event: CertificateEvent | undefined): Promise<void> {
    const mayAct = this.#proves() !== "renewal";
    const upgradeEvent = event === "refused" ? "old-refused" : event === "connected" ? undefined : event;
    for (const need of (await this.#upgrader?.advance(this.#recordedKey(), upgradeEvent, mayAct)) ?? []) this.#follow(need);
  }

  #follow(need: UpgradeNeed): void {
    switch (need.need) {
      case "nothing":
        return;
      case "connect-with-new":
        return this.#connectWith({ ...need, of: "upgrade" });
      case "connect-with-old":
        if (this.#next?.of !== "upgrade") return;
        this.#next = undefined;
        return this.#options.onCertificate();
      case "switched":
        this.#key = need.key && { key: need.key, note: undefined };
        this.#isSwitched = true;
    }
  }

  #waitMs(renewal: Renewal): number {
    const upgradeMs = this.#proves() === "renewal" ? CHECK_MS_MAX : (this.#upgrader?.dueInMs() ?? CHECK_MS_MAX);
    return Math.min(this.#checkInMs(renewal), Math.max(upgradeMs, CHECK_MS_MIN));
  }

  async #rejected(renewal: Renewal, { serial }: DeviceCertificate): Promise<RenewalNeed> {
    this.#options.note({
      event: "enrolment.failed",
      result: "refused",
      detail: { what: "the hub refused a connection with the renewed certificate", serial },
    });
    const need = await renewal.rejected();
    this.#options.onCertificate();
    return need;
  }

  async #accepted(renewal: Renewal, next: DeviceCertificate): Promise<RenewalNeed> {
    this.#current = next;
    const need = await renewal.proven();
    this.#options.note({
      event: "certificate.renewed",
      result: "ok",
      detail: { serial: next.serial, notAfter: new Date(next.notAfterMs).toISOString() },
    });
    return need;
  }

  /** What the next connection is to prove. */
  #proves(): CertificateCandidate["of"] | undefined {
    return this.#next?.of;
  }

  #connectWith(next: CertificateCandidate): void {
    if (this.#next?.certificate.serial === next.certificate.serial) return;
    this.#next = next;
    this.#options.onCertificate();
  }
}

/**
 * @returns the fault of something outside the agent, which is shown and tried again.
 * @throws any defect in our code.
 */
function faultOrThrow(error: unknown): Fault {
  if (!(error instanceof Fault) || error.code === "assert.broken") throw error;
  return error;
}
