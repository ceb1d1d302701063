// The agent as a whole: it makes the services, connects them, and drives the device's lifecycle.
// Once the identity is known there is one complete session with the hub, and before that none.
import { type AuditBuffer, createAuditBuffer } from "./audit/index.ts";
import { type BoardGate, createBoardGate } from "./board.ts";
import { type Console, startConsole } from "./console/index.ts";
import { readDeviceStatus } from "./device-status.ts";
import { faultDetail } from "./fault-detail.ts";
import { type HubSession, openHubSession } from "./hub-session/index.ts";
import { createIdentityManager, type IdentityManager, type IdentityManagerOptions } from "./identity/index.ts";
import { type LifeEvent, type LifeState, next } from "./lifecycle.ts";
import { type LocalSocket, openLocalSocket } from "./local/index.ts";
import { createHandlers, createOperations, type OperationHandlers, type Operations } from "./operations/index.ts";
import type { AgentPorts } from "./ports.ts";
import { keyWords } from "./status/index.ts";
import type { DeviceStatus } from "./status/format.ts";
import type { TunnelEvent } from "./tunnel/index.ts";
import { Fault } from "../hal/fault.ts";
import { hostAndPort } from "../hal/format/host.ts";
import type { DeviceId, DeviceIdentity } from "../hal/format/identity.ts";
import { hubServices } from "../ota/format/anchors.ts";
import { createCertificateReceipts, createCertificateStore } from "../provisioning/certificate/index.ts";
import { createEstEnroller } from "../provisioning/enrollers/index.ts";
import type { EnrolmentProgress } from "../provisioning/enrolment/index.ts";
import type { HubServer } from "../provisioning/tls/index.ts";
import { createWardenClient, type WardenClient } from "../warden/client/index.ts";

/** How long a stopping agent waits for its last entries to reach the audit trail. */
const LAST_ENTRIES_MS_MAX = 2_000;

export interface Agent {
  /**
   * Resolves when the local socket is open and the lifecycle has begun.
   * @throws Fault `socket.listen-failed`.
   */
  start(): Promise<void>;
  /** Never resolves. Rejects when a defect in our code has ended the agent. */
  readonly failed: Promise<never>;
  /** The status of the device now; see {@link readDeviceStatus}. */
  snapshot(): Promise<DeviceStatus>;
  /** Disconnects cleanly from the hub, records the last entries, and closes everything. */
  stop(): Promise<void>;
}

/** @returns an agent that does nothing before {@link Agent.start}. */
export function createAgent(ports: AgentPorts): Agent {
  return new DeviceAgent(ports);
}

class DeviceAgent implements Agent {
  readonly failed: Promise<never>;
  readonly #ports: AgentPorts;
  readonly #hub: HubServer;
  readonly #warden: WardenClient;
  readonly #audit: AuditBuffer;
  readonly #operations: Operations;
  readonly #identity: IdentityManager;
  readonly #board: BoardGate;
  readonly #stopped = new AbortController();
  readonly #failure = Promise.withResolvers<never>();
  #life: LifeState = "blank";
  #deviceId: DeviceId | undefined;
  #session: HubSession | undefined;
  #local: LocalSocket | undefined;
  #console: Console | undefined;
  #identityDone: Promise<void> = Promise.resolve();

  constructor(ports: AgentPorts) {
    this.#ports = ports;
    this.failed = this.#failure.promise;
    this.#hub = hubServerOf(ports);
    this.#warden = createWardenClient({ connect: ports.connectWarden, program: ports.program, clock: ports.clock });
    this.#audit = createAuditBuffer({
      warden: this.#warden,
      clock: ports.clock,
      onAppended: () => this.#session?.uploadAudit(),
    });
    this.#operations = createOperations({
      handlers: this.#handlers(),
      audit: (entry) => this.#audit.append(entry),
      clock: ports.clock,
    });
    this.#identity = createIdentityManager(this.#identityOptions());
    this.#board = createBoardGate({
      clock: ports.clock,
      warden: this.#warden,
      hub: this.#hub,
      note: (entry) => this.#audit.note(entry),
      signal: this.#stopped.signal,
    });
  }

  async start(): Promise<void> {
    const { config, program, listen } = this.#ports;
    this.#local = await openLocalSocket({ path: config.localSocket, socket: "root", operations: this.#operations, listen });
    this.#audit.note({ event: "agent.started", result: "ok", detail: { program } });
    this.#ports.damage.listen((fault) =>
      this.#audit.note({ event: "agent.damaged", result: "failed", detail: faultDetail(fault) }),
    );
    this.#console = this.#startConsole();
    this.#identityDone = this.#identity.run(this.#stopped.signal).catch(this.#failure.reject);
  }

  snapshot(): Promise<DeviceStatus> {
    const { program, clock, vitals, anchors } = this.#ports;
    return readDeviceStatus({ program, clock, vitals, anchors, warden: this.#warden }, () => {
      const auditFault = this.#audit.trouble();
      return {
        life: this.#life,
        identity: this.#identity.status(),
        session: this.#session,
        isLetIn: this.#board.isLetIn(),
        faults: [
          ...this.#operations.troubles(),
          ...this.#board.troubles(),
          ...(this.#console?.troubles() ?? []),
          ...this.#ports.damage.faults().map(({ code, message }) => ({ code, message })),
          ...(auditFault === undefined ? [] : [{ code: auditFault.code, message: auditFault.message }]),
        ],
      };
    });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#audit.note({ event: "agent.stopped", result: "ok" });
    await this.#console?.stop();
    await this.#local?.close();
    // Afterwards nothing opens a session or connects one.
    await this.#identityDone;
    await this.#session?.stop();
    await this.#audit.close(LAST_ENTRIES_MS_MAX);
    this.#warden.close();
  }

  #handlers(): OperationHandlers {
    const warden = this.#warden;
    return createHandlers({
      snapshot: () => this.snapshot(),
      warden,
      onKeyUpgrade: () => this.#identity.wake(),
      deviceId: () => {
        if (this.#deviceId === undefined)
          throw new Fault("identity.no-source", "name the device: the warden has not told its id yet");
        return this.#deviceId;
      },
      auditHead: async () => (await warden.call("status.read", {})).audit,
      readAudit: async (from, count) =>
        (await warden.call("audit.read", { from, count })).records.map((record) => Buffer.from(record, "base64")),
    });
  }

  /** @returns undefined when no console is configured. */
  #startConsole(): Console | undefined {
    const { serial, clock, program, files, bootId } = this.#ports;
    if (serial === undefined) return undefined;
    const warden = this.#warden;
    return startConsole({
      port: serial,
      operations: this.#operations,
      orders: {
        nonce: (verb) => warden.call("order.nonce", { verb }),
        submit: (verb, order) => warden.call("order.submit", { verb, order }),
        signer: (keyid) => warden.call("order.signer", { keyid }),
      },
      audit: (entry) => this.#audit.append(entry),
      files,
      bootId,
      clock,
      host: () => ({ program, deviceId: this.#deviceId }),
    });
  }

  #identityOptions(): IdentityManagerOptions {
    const { files, anchors, config, clock, random, settleKey, upgradeKeys } = this.#ports;
    return {
      warden: this.#warden,
      enroller: createEstEnroller({ hub: this.#hub, label: config.enrolment.label, signal: this.#stopped.signal }),
      files,
      store: createCertificateStore(files),
      receipts: createCertificateReceipts(files),
      authority: hubServices(anchors).est.authority,
      enterpriseNumber: config.enterpriseNumber,
      clock,
      random,
      clockTrusted: () => this.#session?.time.isClockTrusted() ?? false,
      clockSynced: () => this.#session?.time.isClockSynced() ?? false,
      settleKey,
      upgradeKeys,
      note: (entry) => {
        this.#audit.note(entry);
        this.#showAlarm();
      },
      onIdentity: (identity) => this.#openSession(identity),
      onProgress: (progress) => this.#onEnrolmentProgress(progress),
      onKeyFault: ({ code, message }) => this.#ports.log(`trouble: ${code}: ${message}`),
      onCertificate: () => {
        if (!this.#stopped.signal.aborted) void this.#session?.connect();
      },
      onCertificateLost: () => this.#advance({ kind: "certificate-lost" }),
      onTimeInDoubt: () => void this.#session?.time.sync("in-doubt"),
    };
  }

  /** @throws Fault of the spool's files; the identity manager then tries again. */
  async #openSession(identity: DeviceIdentity): Promise<void> {
    this.#deviceId = identity.id;
    this.#ports.log(`device ${identity.id} (from ${identity.source})`);
    this.#session = await openHubSession({
      ports: this.#ports,
      deviceId: identity.id,
      hub: timeServerOf(this.#ports, this.#hub),
      warden: this.#warden,
      operations: this.#operations,
      credentials: async () => {
        const credentials = await this.#identity.credentials();
        await this.#board.expect(credentials);
        return credentials;
      },
      protection: () => this.#identity.presentedProtection(),
      note: (entry) => this.#audit.note(entry),
      onEvent: (event) => this.#onTunnelEvent(event),
      onClockSynced: () => this.#identity.wake(),
      onElsewhere: (found) => this.#board.elsewhere(found),
      signal: this.#stopped.signal,
    });
    // Not awaited: a hub that does not answer must not keep the key from being made and shown.
    void this.#session.time.sync("trusted");
  }

  #onEnrolmentProgress(progress: EnrolmentProgress): void {
    this.#showAlarm();
    if (progress.kind !== "waiting") {
      this.#advance({ kind: progress.kind });
      return;
    }
    const { forMs, fault } = progress;
    this.#ports.log(`enrolment waits ${Math.round(forMs / 1000)} s: ${fault.code}: ${fault.message}`);
    if (fault.code === "tls.hub-dates") void this.#session?.time.sync("in-doubt");
    // [TUN-72] a certificate for other dates than this clock's is refused with this code too
    if (fault.code === "enrol.mismatch") void this.#session?.time.sync("refused");
  }

  #onTunnelEvent(event: TunnelEvent): void {
    switch (event.kind) {
      case "connected":
        this.#advance({ kind: "connected" });
        this.#identity.connected();
        this.#reportBoard();
        this.#showAlarm();
        return;
      case "disconnected":
        this.#advance({ kind: "disconnected" });
        this.#identity.disconnected();
        return;
      case "refused":
        this.#identity.refused(event.fault);
        this.#showAlarm();
        return;
      default:
        return;
    }
  }

  #reportBoard(): void {
    const report = this.#board.report();
    if (report !== undefined) void this.#session?.reportBoard(report);
  }

  /** [ID-73] */
  #showAlarm(): void {
    if (this.#board.waits()) return this.#console?.alarm("disk of another board");
    const { key, enrolment, faults } = this.#identity.status();
    const codes = [...faults, ...(key === undefined && enrolment?.lastFault ? [enrolment.lastFault] : [])];
    this.#console?.alarm(codes.map(({ code }) => keyWords(code)).find((words) => words !== undefined));
  }

  #advance(event: LifeEvent): void {
    const before = this.#life;
    this.#life = next(before, event);
    if (this.#life === before) return;
    this.#ports.log(`life ${before} -> ${this.#life}`);
    void this.#session?.announce(this.#life);
  }
}

function hubServerOf({ anchors, config }: Pick<AgentPorts, "anchors" | "config">): HubServer {
  return {
    ...hubServices(anchors).est,
    minTls: config.tunnel.minTls,
    connectTo: config.enrolment.connectTo,
    proxy: config.tunnel.proxy,
  };
}

/** @returns undefined where the hub has no time service. [TUN-62] */
function timeServerOf({ anchors }: Pick<AgentPorts, "anchors">, est: HubServer): HubServer | undefined {
  const { time } = hubServices(anchors);
  if (time === undefined) return undefined;
  return { ...est, ...time, connectTo: hostAndPort(time) === hostAndPort(est) ? est.connectTo : undefined };
}
