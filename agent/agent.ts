// The agent, wired: who am I, one way out to the hub, what can be asked and by whom. Decides when; the parts know how.
import { createAuditUploader, type AuditUploader } from "./audit/index.ts";
import { startConsole, type Console } from "./console/index.ts";
import { createIdentityManager } from "./identity/index.ts";
import { type LifeEvent, type LifeState, next } from "./lifecycle.ts";
import { type LocalSocket, serveLocalSocket } from "./local/index.ts";
import { createHandlers, createOperations } from "./operations/index.ts";
import type { AgentPorts } from "./ports.ts";
import { type Releases, startReleases } from "./releases/index.ts";
import { createAuditBuffer } from "./audit/index.ts";
import { composeDeviceStatus } from "./status/index.ts";
import type { DeviceStatus } from "./status/format.ts";
import { createTimeSync, createTimeWatch, type TimeSync, type TimeWatch } from "./time/index.ts";
import { openHubSession, type UpdateHint, type HubSession } from "./hub-session/index.ts";
import { asFault, Fault } from "../hal/fault.ts";
import type { DeviceIdentity } from "../hal/format/identity.ts";
import { createCertificateStore } from "../provisioning/certificate/index.ts";
import { createEstEnroller } from "../provisioning/enrollers/index.ts";
import type { HubServer } from "../provisioning/tls/index.ts";
import { type WardenClient, createWardenClient } from "../warden/client/index.ts";

/** A stopping agent says goodbye, but not for ever. */
const LAST_ENTRIES_MS_MAX = 2_000;

export interface Agent {
  /** Resolves when the local socket is open and the life has begun. @throws Fault `socket.listen-failed`. */
  start(): Promise<void>;
  /** Never resolves; rejects when a defect of ours has ended the life. */
  readonly failed: Promise<never>;
  snapshot(): Promise<DeviceStatus>;
  /** Goodbye to the hub, last entries to the trail, everything closed. */
  stop(): Promise<void>;
}

interface Held {
  life: LifeState;
  identity: DeviceIdentity | undefined;
  link: HubSession | undefined;
  releases: Releases | undefined;
  time: TimeSync | undefined;
  console: Console | undefined;
  local: LocalSocket | undefined;
  living: Promise<void>;
}

export function createAgent(parts: AgentPorts): Agent {
  const { config, anchors, clock, log } = parts;
  const stopped = new AbortController();
  const failure = Promise.withResolvers<never>();
  const held: Held = {
    life: "blank",
    identity: undefined,
    link: undefined,
    releases: undefined,
    time: undefined,
    console: undefined,
    local: undefined,
    living: Promise.resolve(),
  };
  const warden: WardenClient = createWardenClient({ connect: parts.connectWarden, program: parts.program, clock });
  const uploader: AuditUploader = createAuditUploader({
    warden,
    clock,
    random: parts.random,
    deliver: async (body) => {
      if (held.link === undefined) throw new Fault("tunnel.closed", "deliver audit records: there is no tunnel yet");
      await held.link.tunnel.deliver("audit", body);
    },
  });
  const reporter = createAuditBuffer({ warden, clock, onAppended: () => uploader.poke() });
  const hub: HubServer = {
    host: anchors.host,
    port: anchors.estPort,
    authority: anchors.authority,
    minTls: config.tunnel.minTls,
    connectTo: config.enrolment.connectTo,
    proxy: config.tunnel.proxy,
  };

  const live = (event: LifeEvent): void => {
    const before = held.life;
    held.life = next(before, event);
    if (held.life === before) return;
    log(`life ${before} -> ${held.life}`);
    void held.link?.announce(held.life);
  };

  const time: TimeWatch = createTimeWatch({
    warden,
    source: () => held.time,
    clock,
    signal: stopped.signal,
    log,
    note: (entry) => reporter.note(entry),
    onSynced: () => keeper.wake(),
  });

  const keeper = createIdentityManager({
    warden,
    enroller: createEstEnroller({ hub, signal: stopped.signal }),
    files: parts.files,
    store: createCertificateStore(parts.files),
    authority: anchors.authority,
    enterpriseNumber: config.enterpriseNumber,
    clock,
    random: parts.random,
    clockTrusted: () => (time.clock()?.state ?? "unset") !== "unset",
    settleKey: parts.settleKey,
    note: (entry) => reporter.note(entry),
    onIdentity: async (identity) => {
      held.identity = identity;
      log(`device ${identity.id} (from ${identity.source})`);
      held.time = createTimeSync({ warden, hub, deviceId: identity.id, clock, signal: stopped.signal });
      held.link = await openHubSession({
        parts,
        identity,
        uploader,
        operations,
        credentials: () => keeper.credentials(),
        clockState: () => time.clock(),
        protection: () => keeper.status().key?.protection,
        note: (entry) => reporter.note(entry),
        onEvent: onTunnel,
        onHint,
      });
      if (!stopped.signal.aborted)
        held.releases = startReleases({
          places: parts.releases,
          warden,
          tunnel: held.link.tunnel,
          clock,
          random: parts.random,
          log,
          note: (entry) => reporter.note(entry),
        });
      void time.sync("believed"); // not awaited: a hub that does not answer must not keep the key from being made and shown
    },
    onProgress: (progress) => {
      if (progress.kind === "key-ready") live({ kind: "key-ready" });
      if (progress.kind === "requested") live({ kind: "requested" });
      if (progress.kind === "certificate-ready") live({ kind: "certificate-ready" });
      if (progress.kind !== "waiting") return;
      log(`enrolment waits ${Math.round(progress.forMs / 1000)} s: ${progress.fault.code}: ${progress.fault.message}`);
      if (progress.fault.code === "tls.hub-dates") void time.sync("in-doubt");
    },
    onCertificate: () => {
      if (!stopped.signal.aborted) void held.link?.connect();
    },
    onCertificateLost: () => live({ kind: "certificate-lost" }),
  });

  function onTunnel(event: Parameters<Parameters<typeof openHubSession>[0]["onEvent"]>[0]): void {
    switch (event.kind) {
      case "connected":
        live({ kind: "connected" });
        keeper.connected();
        uploader.connected();
        held.releases?.connected();
        void time.sync("believed");
        return;
      case "disconnected":
        uploader.disconnected();
        live({ kind: "disconnected" });
        return;
      case "refused":
        keeper.refused(event.fault);
        if (event.fault.code === "tunnel.refused") void time.sync("believed");
        if (event.fault.code === "tls.hub-dates") void reconnectOnceSet();
        return;
      default:
        return;
    }
  }

  function onHint(hint: UpdateHint): void {
    if (hint.kind === "update.start") held.releases?.pointed(hint.target);
    else held.releases?.changed();
  }

  /** Only a clock that was wrong is a reason not to wait: a hub whose certificate has run out stays one, however often it is asked. [TUN-4] */
  async function reconnectOnceSet(): Promise<void> {
    if (await time.sync("in-doubt")) held.link?.tunnel.reconnectNow();
  }

  const snapshot = async (): Promise<DeviceStatus> => {
    const [wardenTold, vitals] = await Promise.all([
      told(warden.call("status.read", {}), "protocol.closed"),
      told(parts.vitals.read(), "file.read-failed"),
    ]);
    if ("value" in wardenTold) time.saw(wardenTold.value.clock);
    const identity = keeper.status();
    return composeDeviceStatus({
      program: parts.program,
      nowMs: clock.nowMs(),
      life: held.life,
      ...identity,
      tunnel: held.link?.tunnel.status() ?? { state: "idle", connections: 0, spool: { messages: 0, bytes: 0, dropped: 0 } },
      warden: wardenTold,
      vitals,
      faults: [
        ...identity.faults,
        ...operations.troubles(),
        ...(held.console?.troubles() ?? []),
        ...[
          reporter.trouble(),
          time.fault(),
          held.link?.fault(),
          uploader.trouble(),
          ...(held.releases?.troubles() ?? []),
        ].flatMap((fault) => (fault === undefined ? [] : [{ code: fault.code, message: fault.message }])),
      ],
    });
  };

  const operations = createOperations({
    handlers: createHandlers({
      snapshot,
      warden,
      deviceId: () => {
        if (held.identity === undefined)
          throw new Fault("identity.no-source", "name the device: the warden has not said its id yet");
        return held.identity.id;
      },
      auditHead: async () => (await warden.call("status.read", {})).audit,
      readAudit: async (from, count) =>
        (await warden.call("audit.read", { from, count })).records.map((record) => Buffer.from(record, "base64")),
    }),
    audit: (entry) => reporter.append(entry),
    clock,
  });

  return {
    async start() {
      held.local = await serveLocalSocket({ path: config.localSocket, socket: "root", operations, listen: parts.listen });
      reporter.note({ event: "agent.started", result: "ok", detail: { program: parts.program } });
      if (parts.serial !== undefined)
        held.console = startConsole({
          port: parts.serial,
          operations,
          orders: {
            nonce: (verb) => warden.call("order.nonce", { verb }),
            submit: (verb, order) => warden.call("order.submit", { verb, order }),
          },
          audit: (entry) => reporter.append(entry),
          clock,
          host: () => ({ program: parts.program, deviceId: held.identity?.id }),
        });
      held.living = keeper.run(stopped.signal).catch(failure.reject);
    },
    failed: failure.promise,
    snapshot,
    async stop() {
      stopped.abort();
      reporter.note({ event: "agent.stopped", result: "ok" });
      await held.console?.stop();
      await held.local?.close();
      await held.releases?.stop();
      await held.living; // nobody opens the tunnel again that is closed next
      await held.link?.stop();
      await uploader.stop();
      await reporter.close(LAST_ENTRIES_MS_MAX);
      warden.close();
    },
  };
}

/** A part's word, or why it gave none: a status must come out whatever is broken. */
async function told<T>(
  asked: Promise<T>,
  code: "protocol.closed" | "file.read-failed",
): Promise<{ readonly value: T } | { readonly fault: { readonly code: Fault["code"]; readonly message: string } }> {
  try {
    return { value: await asked };
  } catch (error) {
    const fault = asFault(error, code, "ask for the status");
    return { fault: { code: fault.code, message: fault.message } };
  }
}
