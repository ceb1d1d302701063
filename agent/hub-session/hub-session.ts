// The session with the hub: the tunnel and everything that needs it, which is hub time, releases,
// the upload of the audit log and the operations that the hub asks for. It is complete or does not
// exist.
import type { Fault } from "../../hal/fault.ts";
import type { Board, DeviceId, Protection } from "../../hal/format/identity.ts";
import { hubServices } from "../../ota/format/anchors.ts";
import type { HubServer } from "../../provisioning/tls/index.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { type AuditUploader, createAuditUploader } from "../audit/index.ts";
import { createEscrowCourier, type EscrowCourier } from "../escrow.ts";
import type { LifeState } from "../lifecycle.ts";
import type { Operations } from "../operations/index.ts";
import type { AgentPorts } from "../ports.ts";
import { type Releases, startReleases } from "../releases/index.ts";
import type { TunnelStatus } from "../status/format.ts";
import { createTimeSync, createTimeWatch, type TimeWatch } from "../time/index.ts";
import {
  auditAnswerSchema,
  type BoardReport,
  hubHintSchema,
  operationEnvelopeSchema,
  type StatusMessage,
  updateHintSchema,
} from "../tunnel/format.ts";
import {
  type ConnectedFacts,
  createTunnel,
  openSpool,
  type Spool,
  TIMEOUTS_DEFAULT,
  type Tunnel,
  type TunnelEvent,
} from "../tunnel/index.ts";
import { createEventLog, type EventLog } from "./events.ts";
import { createOperationLimiter } from "./operation-limiter.ts";
import { createOperationResponder, type OperationResponder } from "./operation-responder.ts";

/** [TUN-62] Nothing is uploaded where nobody witnesses it, and that is no trouble. */
const NO_WITNESS: AuditUploader = {
  connected: () => undefined,
  disconnected: () => undefined,
  poke: () => undefined,
  answer: () => undefined,
  trouble: () => undefined,
  stop: async () => undefined,
};

export interface HubSessionOptions {
  readonly ports: Pick<
    AgentPorts,
    "config" | "anchors" | "program" | "files" | "spoolFiles" | "clock" | "random" | "bootId" | "log" | "releases"
  >;
  readonly deviceId: DeviceId;
  /** Where hub time comes from; undefined where the hub has none. [TUN-62] */
  readonly hub: HubServer | undefined;
  readonly warden: WardenClient;
  readonly operations: Operations;
  readonly credentials: () => Promise<{ readonly cert: string; readonly key: string }>;
  readonly protection: () => Protection | undefined;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
  readonly onEvent: (event: TunnelEvent) => void;
  /** The warden has set the clock from the hub. */
  readonly onClockSynced: () => void;
  /** The hub knows of a disk with this identity in another board. [ID-97] */
  readonly onElsewhere: (found: Board) => void;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}

export interface HubSession {
  readonly time: TimeWatch;
  /**
   * Connects with the device certificate. A connection that exists is made again, with the
   * current certificate.
   */
  connect(): Promise<void>;
  /** Reports a change in the device's life to the hub, through the spool. Never rejects. */
  announce(life: LifeState): Promise<void>;
  /** Reports a changed board through the spool. Never rejects. [ID-98] */
  reportBoard(report: BoardReport): Promise<void>;
  /** The audit log has new records: uploads them now instead of at the next interval. */
  uploadAudit(): void;
  tunnelStatus(): TunnelStatus;
  /** What does not work at present. */
  faults(): readonly Fault[];
  stop(): Promise<void>;
}

/** @throws Fault of the spool's files. */
export async function openHubSession(options: HubSessionOptions): Promise<HubSession> {
  const { ports, warden, note, signal } = options;
  const { config, clock, log } = ports;
  const events = createEventLog(note, log, clock);
  const time = createTimeWatch({
    readClock: async () => (await warden.call("status.read", {})).clock,
    source: createTimeSync({ warden, hub: options.hub, deviceId: options.deviceId, clock, signal }),
    clock,
    signal,
    log,
    note,
    onSynced: options.onClockSynced,
  });
  void time.start();
  const spool = await openSpool({
    files: ports.spoolFiles,
    limits: { bytesMax: config.spool.bytesMax, ageMsMax: config.spool.ageMaxS * 1000 },
    clock,
    bootId: await ports.bootId(),
    clockIsSynced: () => time.isClockSynced(),
    onDrop: (drop) => events.messagesDropped(drop),
    onFault: (error) => events.spoolFailed(error),
  });
  return new OpenHubSession(options, { events, time, spool });
}

class OpenHubSession implements HubSession {
  readonly time: TimeWatch;
  readonly #options: HubSessionOptions;
  readonly #events: EventLog;
  readonly #spool: Spool;
  readonly #tunnel: Tunnel;
  readonly #uploader: AuditUploader;
  readonly #escrow: EscrowCourier;
  readonly #releases: Releases;
  readonly #responder: OperationResponder;
  #isStarted = false;
  /** Fingerprint of the certificate that the hub showed last. */
  #hubCertificate: string | undefined;

  constructor(
    options: HubSessionOptions,
    { events, time, spool }: { readonly events: EventLog; readonly time: TimeWatch; readonly spool: Spool },
  ) {
    const { ports, warden, operations, note } = options;
    const { clock, random, log } = ports;
    this.#options = options;
    this.#events = events;
    this.time = time;
    this.#spool = spool;
    this.#tunnel = this.#createTunnel();
    this.#responder = createOperationResponder({
      perform: createOperationLimiter({ operations, clock, note, log }),
      publish: async (body) => {
        await this.#tunnel.publish("result", body);
        this.#events.spoolWorks();
      },
      answer: (body) => this.#tunnel.answer(body),
    });
    this.#uploader =
      ports.anchors.witnessKey === null
        ? NO_WITNESS
        : createAuditUploader({
            warden,
            clock,
            random,
            deliver: (body) => this.#tunnel.deliver("audit", body),
          });
    this.#escrow = createEscrowCourier({
      held: () => warden.call("tpm.escrow", {}),
      confirm: (note) => warden.call("tpm.escrowed", { note }),
      clock,
      random,
      deliver: (body) => this.#tunnel.deliver("event", body),
    });
    this.#releases = startReleases({ places: ports.releases, warden, tunnel: this.#tunnel, clock, random, log, note });
    this.#handleMessages();
  }

  async connect(): Promise<void> {
    if (this.#isStarted) {
      this.#tunnel.reconnectNow();
      return;
    }
    this.#isStarted = true;
    await this.#tunnel.start();
  }

  announce(life: LifeState): Promise<void> {
    return this.#spoolEvent({ kind: "life", life });
  }

  reportBoard(report: BoardReport): Promise<void> {
    return this.#spoolEvent(report);
  }

  async #spoolEvent(body: Parameters<Tunnel["publish"]>[1]): Promise<void> {
    try {
      await this.#tunnel.publish("event", body);
      this.#events.spoolWorks();
    } catch (error) {
      this.#events.spoolFailed(error);
    }
  }

  uploadAudit(): void {
    this.#uploader.poke();
  }

  tunnelStatus(): TunnelStatus {
    return this.#tunnel.status();
  }

  faults(): readonly Fault[] {
    const faults = [
      this.time.fault(),
      this.time.stepped(),
      this.#events.spoolFault(),
      this.#uploader.trouble(),
      this.#escrow.trouble(),
      ...this.#releases.faults(),
    ];
    return faults.filter((fault) => fault !== undefined);
  }

  async stop(): Promise<void> {
    await this.#releases.stop();
    await this.#tunnel.stop();
    await this.#spool.close().catch((error: unknown) => this.#events.spoolFailed(error));
    await this.#uploader.stop();
    await this.#escrow.stop();
  }

  #createTunnel(): Tunnel {
    const { ports, deviceId, credentials } = this.#options;
    const { config, anchors, files, clock, random } = ports;
    const { broker } = hubServices(anchors);
    return createTunnel({
      deviceId,
      anchors: { host: broker.host, mqttPort: broker.port, authority: broker.authority },
      connectTo: config.tunnel.connectTo,
      alpn: config.tunnel.alpn,
      proxy: config.tunnel.proxy,
      minTls: config.tunnel.minTls,
      keepaliveS: config.tunnel.keepaliveS,
      sessionExpiryS: config.tunnel.sessionExpiryS,
      credentials,
      spool: this.#spool,
      files,
      clock,
      random,
      timeouts: TIMEOUTS_DEFAULT,
      birth: (facts) => this.#birth(facts),
      onEvent: (event) => this.#onTunnelEvent(event),
    });
  }

  #birth({ mqtt, group }: ConnectedFacts): StatusMessage["body"] {
    const protection = this.#options.protection();
    const clock = this.time.clock()?.state;
    return {
      state: "online",
      program: this.#options.ports.program,
      mqtt,
      group,
      ...(protection !== undefined && { protection }),
      ...(clock !== undefined && { clock }),
    };
  }

  #handleMessages(): void {
    this.#tunnel.onMessage("audit", auditAnswerSchema, ({ body }) =>
      body.answer === "escrowed" ? this.#escrow.answer(body.note) : this.#uploader.answer(body),
    );
    this.#tunnel.onEveryMessage(
      "operation",
      operationEnvelopeSchema,
      (message) => this.#responder.respond(this.#hubCertificate, message),
      (value, fault) => this.#responder.refuse(value, fault),
    );
    // [OTA-42] The hub only points at something. Signatures decide what it is.
    this.#tunnel.onMessage("policy", hubHintSchema, ({ body }) =>
      body.kind === "repository.changed" ? this.#releases.repositoryChanged() : this.#options.onElsewhere(body.found),
    );
    this.#tunnel.onMessage("update", updateHintSchema, ({ body }) => this.#releases.updateHinted(body.target));
  }

  #onTunnelEvent(event: TunnelEvent): void {
    this.#events.tunnelEvent(event);
    if (event.kind === "connected") this.#hubCertificate = event.facts.fingerprint;
    this.#options.onEvent(event);
    switch (event.kind) {
      case "connected":
        this.#uploader.connected();
        this.#escrow.connected();
        this.#releases.connected();
        void this.time.sync("trusted");
        return;
      case "disconnected":
        this.#uploader.disconnected();
        this.#escrow.disconnected();
        return;
      case "refused":
        if (event.fault.code === "tunnel.refused" || event.fault.code === "tunnel.revoked") void this.time.sync("refused");
        if (event.fault.code === "tls.hub-dates") void this.#reconnectOnceClockIsSet();
        return;
      default:
        return;
    }
  }

  /**
   * [TUN-4] Reconnects at once only if the clock was wrong. Otherwise the hub's certificate is the
   * problem, and it stays one however often the hub is asked.
   */
  async #reconnectOnceClockIsSet(): Promise<void> {
    if (await this.time.sync("in-doubt")) this.#tunnel.reconnectNow();
  }
}
