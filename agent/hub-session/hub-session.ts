// The tunnel with what flows in it: spool, birth, audit answers, operations asked by the hub; and what happens to it, for the audit trail.
import type { Fault } from "../../hal/fault.ts";
import type { DeviceIdentity, Protection } from "../../hal/format/identity.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { ClockState } from "../../warden/time/format.ts";
import type { AuditUploader } from "../audit/index.ts";
import type { LifeState } from "../lifecycle.ts";
import type { Operations } from "../operations/index.ts";
import type { AgentPorts } from "../ports.ts";
import { auditAnswerSchema, operationMessageSchema, repositoryHintSchema, updateHintSchema } from "../tunnel/format.ts";
import { createTunnel, openSpool, TIMEOUTS_DEFAULT, type Tunnel, type TunnelEvent } from "../tunnel/index.ts";
import { createOperationLimiter } from "./operation-limiter.ts";
import { createEventLog } from "./events.ts";

export interface HubSessionOptions {
  readonly parts: Pick<AgentPorts, "config" | "anchors" | "program" | "files" | "spoolFiles" | "clock" | "random" | "log">;
  readonly identity: DeviceIdentity;
  readonly uploader: AuditUploader;
  readonly operations: Operations;
  readonly credentials: () => Promise<{ readonly cert: string; readonly key: string }>;
  readonly clockState: () => ClockState | undefined;
  readonly protection: () => Protection | undefined;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
  readonly onEvent: (event: TunnelEvent) => void;
  /** [OTA-42] The hub points at something; what it is, signatures say. */
  readonly onHint: (hint: UpdateHint) => void;
}

export type UpdateHint = { readonly kind: "repository.changed" } | { readonly kind: "update.start"; readonly target: string };

export interface HubSession {
  readonly tunnel: Tunnel;
  /** There is a certificate, or another than before: connect with it. */
  connect(): Promise<void>;
  /** Tells the hub of a change in the device's life, through the spool. Never rejects. */
  announce(life: LifeState): Promise<void>;
  /** What does not work of it. */
  fault(): Fault | undefined;
  stop(): Promise<void>;
}

/** @throws Fault of the spool's files. */
export async function openHubSession(link: HubSessionOptions): Promise<HubSession> {
  const { parts, identity, uploader, operations } = link;
  const { config, anchors, clock } = parts;
  const events = createEventLog(link.note, parts.log, clock);
  const ask = createOperationLimiter({ operations, clock, note: link.note, log: parts.log });
  const spool = await openSpool({
    files: parts.spoolFiles,
    limits: { bytesMax: config.spool.bytesMax, ageMsMax: config.spool.ageMaxS * 1000 },
    clock,
    clockIsSane: () => (link.clockState()?.state ?? "unset") !== "unset",
    onDrop: events.dropped,
    onFault: events.spoolFault,
  });
  const tunnel = createTunnel({
    deviceId: identity.id,
    anchors,
    connectTo: config.tunnel.connectTo,
    alpn: config.tunnel.alpn,
    proxy: config.tunnel.proxy,
    minTls: config.tunnel.minTls,
    keepaliveS: config.tunnel.keepaliveS,
    credentials: link.credentials,
    spool,
    files: parts.files,
    clock,
    random: parts.random,
    timeouts: TIMEOUTS_DEFAULT,
    birth: (facts) => {
      const protection = link.protection();
      const state = link.clockState()?.state;
      return {
        state: "online",
        program: parts.program,
        mqtt: facts.mqtt,
        group: facts.group,
        ...(protection !== undefined && { protection }),
        ...(state !== undefined && { clock: state }),
      };
    },
    onEvent: (event) => {
      events.tunnel(event);
      if (event.kind === "connected") held.hub = event.facts.fingerprint;
      link.onEvent(event);
    },
  });
  const held: { started: boolean; hub: string | undefined } = { started: false, hub: undefined };
  tunnel.onMessage("audit", auditAnswerSchema, ({ body }) => uploader.answer(body));
  tunnel.onMessage("operation", operationMessageSchema, async ({ body }) => {
    const answer = await ask(held.hub, body);
    if (answer === undefined) return;
    await tunnel.publish("result", { kind: "operation", answer });
    events.spoolWorks();
  });
  tunnel.onMessage("update", updateHintSchema, ({ body }) => link.onHint(body));
  tunnel.onMessage("policy", repositoryHintSchema, ({ body }) => link.onHint(body));
  return {
    tunnel,
    async connect() {
      if (held.started) {
        tunnel.reconnectNow();
        return;
      }
      held.started = true;
      await tunnel.start();
    },
    async announce(life) {
      await tunnel.publish("event", { kind: "life", life }).then(events.spoolWorks, events.spoolFault);
    },
    fault: events.fault,
    async stop() {
      await tunnel.stop();
      await spool.close().catch(events.spoolFault);
    },
  };
}
