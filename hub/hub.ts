// A running hub: authority, store, API and broker put together.
import { EventEmitter } from "node:events";
import { join } from "node:path";
import { asFault, type Fault } from "../hal/fault.ts";
import type { DeviceId, Fingerprint } from "../hal/format/identity.ts";
import type { HubAnchors } from "../ota/format/anchors.ts";
import { type Api, startApi } from "./api/index.ts";
import { type Authority, openAuthority } from "./authority/index.ts";
import { type Broker, startBroker } from "./broker/index.ts";
import { admit, approve, type DeviceContext } from "./devices/index.ts";
import { openInbox, type Received } from "./inbox/index.ts";
import { journalOf, type JournalWriter } from "./journal.ts";
import { WATCH_INTERVAL_MS } from "./limits.ts";
import { type OutboxDelivery, startDelivery } from "./outbox/index.ts";
import { privateFile, REPOSITORY_DIRECTORY, STATE_FILES } from "./state/files.ts";
import { lockState } from "./state/lock.ts";
import { type Device, type JournalEntry, openStore, type Store } from "./store/index.ts";
import { MIN_TLS_DEFAULT, type ServerTlsVersion } from "./tls.ts";
import { openWitness } from "./witness/index.ts";

export interface HubOptions {
  /** A directory that `initHub` made. */
  readonly state: string;
  /** Address to listen on; every IPv4 one unless told. */
  readonly listen?: string;
  /** Those of the anchors unless told; 0 takes a free one. */
  readonly estPort?: number;
  readonly mqttPort?: number;
  /** Seconds a waiting device is asked to wait before it asks again. */
  readonly retryAfterS?: number;
  /** Of device certificates; what `init` was told unless told. Not held to the minimum of the settings [ID-12]: for tests, which cannot wait an hour. */
  readonly certificateLifeMs?: number;
  /** TLS 1.3 unless told. [TUN-2] */
  readonly minTls?: ServerTlsVersion;
}

export interface HubEvents {
  /** The hub's own audit, as it is written. */
  journal: [JournalEntry];
  /** A message of a device, after it became durable. */
  message: [Received];
  /** What went wrong on the hub's side and was survived. */
  fault: [Fault];
}

export interface Hub {
  readonly estPort: number;
  readonly mqttPort: number;
  /** With the ports really listened on. */
  readonly anchors: HubAnchors;
  readonly store: Store;
  readonly events: EventEmitter<HubEvents>;
  /** [ID-7] @throws Fault `hub.device-unknown`, `hub.device-conflict`, `hub.device-revoked`. */
  approve(id: DeviceId, fingerprint: Fingerprint, by?: string): Device;
  stop(): Promise<void>;
}

const RETRY_AFTER_S_DEFAULT = 15;
/** How often dates are looked at: certificates of connected devices, and our own. */
const DATES_INTERVAL_MS = 60_000;
/** How often messages are looked at that are to be sent again, or let go. */
const OUTBOX_LOOK_MS = 5000;

/** @throws Fault `hub.not-initialised`, `lock.held`, `hub.listen-failed`, `hub.store-failed`. */
export async function startHub(options: HubOptions): Promise<Hub> {
  const authority = openAuthority(options.state);
  const lock = lockState(options.state);
  const opened: (() => void | Promise<void>)[] = [() => lock.release()];
  const undo = async (): Promise<void> => {
    for (const close of opened.reverse()) await close();
  };
  try {
    const store = openStore(privateFile(options.state, STATE_FILES.store));
    opened.push(() => store.close());
    return await serve(options, authority, store, opened, undo);
  } catch (error) {
    await undo();
    throw error;
  }
}

async function serve(
  options: HubOptions,
  authority: Authority,
  store: Store,
  opened: (() => void | Promise<void>)[],
  undo: () => Promise<void>,
): Promise<Hub> {
  const events = new EventEmitter<HubEvents>();
  const onFault = (fault: Fault): void => void events.emit("fault", fault);
  const journal = journalOf(store, (entry) => void events.emit("journal", entry));
  store.connections.clear(); // of a hub that was killed
  if (authority.renewServer(Date.now()) !== undefined) journal("server-certificate.renewed", undefined);
  const servers = await startServers(options, authority, store, journal, events, opened);
  const { api, broker } = servers;
  watch({ authority, store, journal, ...servers, onFault }, opened);
  journal("hub.started", undefined, { estPort: api.port, mqttPort: broker.port });
  return {
    estPort: api.port,
    mqttPort: broker.port,
    anchors: { ...authority.anchors, estPort: api.port, mqttPort: broker.port },
    store,
    events,
    approve: (id, fingerprint, by = "embedding program") => approve({ store, journal }, id, fingerprint, by),
    stop: once(async () => {
      journal("hub.stopped", undefined);
      await undo();
    }),
  };
}

async function startServers(
  options: HubOptions,
  authority: Authority,
  store: Store,
  journal: JournalWriter,
  events: EventEmitter<HubEvents>,
  opened: (() => void | Promise<void>)[],
): Promise<{ readonly api: Api; readonly broker: Broker; readonly delivery: OutboxDelivery }> {
  const { anchors, issuer, settings, server } = authority;
  const { listen = "0.0.0.0", certificateLifeMs = settings.certificateLifeMs, retryAfterS = RETRY_AFTER_S_DEFAULT } = options;
  const { minTls = MIN_TLS_DEFAULT } = options;
  const desk: DeviceContext = { store, journal, issuer, certificateLifeMs };
  const judge = (certificate: Parameters<typeof admit>[0]) => admit(certificate, issuer.certificate, store, Date.now());
  const onFault = (fault: Fault): void => void events.emit("fault", fault);
  const link: { broker?: Broker; delivery?: OutboxDelivery } = {};
  const inbox = openInbox({
    store,
    journal,
    witness: openWitness(store, authority.witness, journal),
    onReceived: (received) => void events.emit("message", received),
    onAnswer: (deviceId, answer) => link.broker?.send(deviceId, "audit", answer),
  });
  opened.push(() => inbox.flush());
  const { authorityPem } = issuer;
  const mqttPort = options.mqttPort ?? anchors.mqttPort;
  const broker = await startBroker({
    listen,
    port: mqttPort,
    server,
    authorityPem,
    minTls,
    judge,
    store,
    inbox,
    journal,
    onSubscribed: () => link.delivery?.look(),
    onClosed: (deviceId) => link.delivery?.left(deviceId),
    onFault,
  });
  link.broker = broker;
  const delivery = startDelivery({ store, journal, deliver: (...message) => broker.deliver(...message), onFault });
  link.delivery = delivery;
  opened.push(() => delivery.stop());
  opened.push(() => broker.stop());
  const estPort = options.estPort ?? anchors.estPort;
  const repository = join(options.state, REPOSITORY_DIRECTORY);
  const { time } = authority;
  const api = await startApi({ listen, port: estPort, server, minTls, desk, time, judge, retryAfterS, repository, onFault });
  opened.push(() => api.stop());
  return { api, broker, delivery };
}

interface Watched {
  readonly authority: Authority;
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly api: Api;
  readonly broker: Broker;
  readonly delivery: OutboxDelivery;
  readonly onFault: (fault: Fault) => void;
}

/** Sees what the command line decided, and what time does to certificates. */
function watch({ authority, store, journal, api, broker, delivery, onFault }: Watched, opened: (() => void)[]): void {
  const seen = { version: store.version() };
  const every = (intervalMs: number, work: () => void): void => {
    const timer = setInterval(() => {
      try {
        work();
      } catch (error) {
        onFault(asFault(error, "hub.store-failed", "watch the hub's store"));
      }
    }, intervalMs);
    opened.push(() => clearInterval(timer));
  };
  every(WATCH_INTERVAL_MS, () => {
    const version = store.version();
    if (version === seen.version) return;
    seen.version = version;
    broker.recheck();
    delivery.look();
  });
  every(OUTBOX_LOOK_MS, () => delivery.look());
  every(DATES_INTERVAL_MS, () => {
    broker.recheck();
    const renewed = authority.renewServer(Date.now());
    if (renewed === undefined) return;
    api.renew(renewed);
    broker.renew(renewed);
    journal("server-certificate.renewed", undefined);
  });
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= work());
}
