// A running hub: authority, store, HTTPS API and broker put together.
import { EventEmitter } from "node:events";
import { join } from "node:path";
import type { X509Certificate } from "node:crypto";
import { asFault, type Fault } from "../hal/fault.ts";
import type { DeviceId, Fingerprint } from "../hal/format/identity.ts";
import type { HubAnchors } from "../ota/format/anchors.ts";
import { type Api, startApi } from "./api/index.ts";
import { type Authority, checkCertificateLife, checkCrlUrl, loadAuthority } from "./authority/index.ts";
import { createCrlKeeper, type CrlKeeper } from "./crl/index.ts";
import { type Broker, startBroker } from "./broker/index.ts";
import { HubClock } from "./clock.ts";
import { descriptorLimit, expectDescriptors, watchDescriptors } from "./descriptors.ts";
import { admit, approve, createPendingQueue } from "./devices/index.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { createInbox, type Received } from "./inbox/index.ts";
import { createJournalWriter, type JournalWriter } from "./journal.ts";
import { type OutboxDelivery, startDelivery } from "./outbox/index.ts";
import { lockState, privateFile, REPOSITORY_DIRECTORY, STATE_FILES } from "./state/index.ts";
import { type Device, type JournalEntry, openStore, type Store } from "./store/index.ts";
import { MIN_TLS_DEFAULT, type ServerTlsVersion } from "./tls.ts";
import { type Trouble, Troubles } from "./troubles.ts";
import { createWitness } from "./witness/index.ts";

export interface HubOptions {
  /** A directory that `initHub` made. */
  readonly state: string;
  /** Address to listen on. Default: every IPv4 address. */
  readonly listen?: string;
  /** Default: the port of the anchors. 0 takes a free one. */
  readonly estPort?: number;
  readonly mqttPort?: number;
  /** Seconds after which a pending device may ask again. Default 15. */
  readonly retryAfterS?: number;
  /** Validity of device certificates. Default: as given at `init`, and held to the same bounds. */
  readonly certificateLifeMs?: number;
  /**
   * Default: what devices can renew in time [ID-24]. Tests lower it, which cannot wait an hour; no
   * setting and no command line does.
   */
  readonly certificateLifeMsMin?: number;
  /** Default: TLS 1.3. [TUN-2] */
  readonly minTls?: ServerTlsVersion;
  /** A peer that takes nothing of an answer for so long is cut off. Default: 20 s. [TUN-23] */
  readonly progressMs?: number;
  /** [ID-93] Where others find the list of revoked certificates; written into new certificates. */
  readonly crlUrl?: string;
}

export interface HubEvents {
  /** An entry of the hub's own journal, as it is written, and its count before. */
  journal: [JournalEntry, number];
  /** A message from a device, after it became durable. */
  message: [Received];
  /** A fault of the hub itself, after which it keeps running. */
  fault: [Fault];
  /** [STA-40] Something that lasts began, or is over. */
  trouble: [Trouble];
  troubleOver: [Trouble];
}

export interface Hub {
  readonly estPort: number;
  readonly mqttPort: number;
  /** With the ports that the hub really listens on. */
  readonly anchors: HubAnchors;
  readonly store: Store;
  readonly events: EventEmitter<HubEvents>;
  /** [STA-40] What is wrong with the hub at this time. */
  readonly troubles: () => readonly Trouble[];
  /** [ID-7] @throws Fault `hub.device-unknown`, `hub.device-conflict`, `hub.device-revoked`. */
  approve(id: DeviceId, fingerprint: Fingerprint, by?: string): Promise<Device>;
  stop(): Promise<void>;
}

const RETRY_AFTER_S_DEFAULT = 15;

/**
 * Connections of a hub that was killed. This is the first access to the tables.
 * @throws Fault `hub.store-failed`.
 */
async function clearConnections(store: Store, state: string): Promise<void> {
  try {
    await store.commit(store.connections.clear());
  } catch (error) {
    throw asFault(error, "hub.store-failed", `read the hub's store in "${state}"`);
  }
}

/**
 * @throws Fault `hub.not-initialised`, `lock.held`, `hub.listen-failed`, `hub.store-failed`;
 *   `hub.files-exhausted` for a process that may open too few.
 */
export async function startHub(options: HubOptions): Promise<Hub> {
  checkCertificateLife(options.certificateLifeMs, options.certificateLifeMsMin);
  checkCrlUrl(options.crlUrl);
  await using starting = new AsyncDisposableStack();
  const filesMax = await descriptorLimit();
  expectDescriptors(filesMax);
  const authority = loadAuthority(options.state);
  const lock = await lockState(options.state);
  starting.defer(() => lock.release());
  const events = new EventEmitter<HubEvents>();
  const later: { journal?: JournalWriter } = {};
  const troubles = openTroubles(options.state, events, (...entry) => later.journal?.(...entry));
  starting.defer(() => troubles.close());
  // While the store fails, everything that needs it fails with the same words.
  const onFault = (fault: Fault): void => {
    if (fault.code !== "hub.store-failed" || !troubles.has("store")) events.emit("fault", fault);
  };
  const store = await openStore(privateFile(options.state, STATE_FILES.store), {
    threads: true,
    onEntry: (entry, before) => void events.emit("journal", entry, before),
    onFault,
    onFailing: (fault) => troubles.begin("store", fault),
    onWorking: () => troubles.end("store"),
  });
  starting.defer(() => store.close());
  const journal = createJournalWriter(store);
  later.journal = journal;
  await clearConnections(store, options.state);
  if ((await authority.renewServer(Date.now())) !== undefined) journal("server-certificate.renewed", undefined);
  const clock = new HubClock({ lastMs: await store.journal.lastWrittenMs() });
  const checkClock = (): void => {
    troubles.set("clock", authority.clockFault(Date.now()));
    troubles.set("step", clock.fault());
  };
  checkClock();
  const crl = createCrlKeeper({ store, issuer: authority.issuer, onTrouble: (fault) => troubles.set("crl", fault) });
  // [ID-92] Before anything is served: the last one may have ended while the hub was down.
  await crl.current().catch(() => undefined);
  const context: HubContext = {
    authority,
    store,
    journal,
    events,
    crl,
    clock,
    judge: (certificate) => admit(certificate, authority.issuer.certificate, store, Date.now()),
    onFault,
    troubles,
  };
  const { broker, delivery } = await startMessaging(options, context, starting);
  const api = await startHttps(options, context);
  starting.defer(() => api.stop());
  const watchFiles = watchDescriptors(filesMax, onFault);
  starting.use(startHousekeeping({ ...context, api, broker, delivery, watchFiles, checkClock }));
  const started = { estPort: api.port, mqttPort: broker.port };
  await store.commit(store.journal.entry("hub.started", undefined, started, Date.now()));

  const running = starting.move();
  return {
    estPort: api.port,
    mqttPort: broker.port,
    anchors: { ...authority.anchors, estPort: api.port, mqttPort: broker.port },
    store,
    events,
    troubles: () => troubles.all,
    approve: (id, fingerprint, by = "embedding program") => approve({ store }, id, fingerprint, by),
    stop: once(async () => {
      journal("hub.stopped", undefined);
      await running.disposeAsync();
    }),
  };
}

/** [STA-40] The journal is opened later, since the troubles begin with the store's. */
function openTroubles(state: string, events: EventEmitter<HubEvents>, journal: JournalWriter): Troubles {
  return new Troubles({
    state,
    onBegin: (trouble) => {
      events.emit("trouble", trouble);
      journal("hub.trouble", undefined, { code: trouble.code, message: trouble.message });
    },
    onOver: (trouble) => {
      const seconds = Math.max(0, Math.round((Date.now() - trouble.sinceMs) / 1000));
      events.emit("troubleOver", trouble);
      journal("hub.trouble-over", undefined, { code: trouble.code, seconds });
    },
  });
}

interface HubContext {
  readonly authority: Authority;
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly events: EventEmitter<HubEvents>;
  readonly crl: CrlKeeper;
  readonly clock: HubClock;
  readonly judge: (certificate: X509Certificate | undefined) => ReturnType<typeof admit>;
  readonly onFault: (fault: Fault) => void;
  readonly troubles: Troubles;
}

/** The broker with what it receives into the inbox and what it sends from the outbox. */
async function startMessaging(
  options: HubOptions,
  context: HubContext,
  starting: AsyncDisposableStack,
): Promise<{ readonly broker: Broker; readonly delivery: OutboxDelivery }> {
  const { authority, store, journal, events, clock, onFault } = context;
  const { listen = "0.0.0.0", mqttPort = authority.anchors.mqttPort, minTls = MIN_TLS_DEFAULT } = options;
  // The broker calls these back only after it has started.
  const later: { broker?: Broker; delivery?: OutboxDelivery } = {};
  const inbox = createInbox({
    store,
    journal,
    witness: createWitness(store, authority.witness),
    onReceived: (received) => void events.emit("message", received),
    onAnswer: (deviceId, answer) => later.broker?.send(deviceId, "audit", answer),
  });
  starting.defer(() => inbox.flush());
  const broker = await startBroker({
    ...context,
    listen,
    port: mqttPort,
    server: authority.server,
    authorityPem: authority.issuer.authorityPem,
    authority: authority.issuer.certificate,
    minTls,
    ...(options.progressMs === undefined ? {} : { progressMs: options.progressMs }),
    inbox,
    onSubscribed: () => later.delivery?.sendDue(),
    onClosed: (deviceId) => later.delivery?.disconnected(deviceId),
  });
  later.broker = broker;
  const delivery = startDelivery({
    store,
    journal,
    deliver: (...message) => broker.deliver(...message),
    onFault,
    retentionMs: () => clock.retentionMs(),
  });
  later.delivery = delivery;
  starting.defer(() => delivery.stop());
  starting.defer(() => broker.stop());
  return { broker, delivery };
}

function startHttps(
  options: HubOptions,
  { authority, store, journal, clock, crl, judge, onFault, troubles }: HubContext,
): Promise<Api> {
  const { anchors, issuer, settings, server, time } = authority;
  return startApi({
    listen: options.listen ?? "0.0.0.0",
    port: options.estPort ?? anchors.estPort,
    server,
    minTls: options.minTls ?? MIN_TLS_DEFAULT,
    context: {
      store,
      journal,
      pending: createPendingQueue(store, journal),
      issuer,
      certificateLifeMs: options.certificateLifeMs ?? settings.certificateLifeMs,
      crlUrl: options.crlUrl,
      retentionMs: () => clock.retentionMs(),
    },
    time,
    crl,
    judge,
    retryAfterS: options.retryAfterS ?? RETRY_AFTER_S_DEFAULT,
    ...(options.progressMs === undefined ? {} : { progressMs: options.progressMs }),
    repository: join(options.state, REPOSITORY_DIRECTORY),
    onFault,
    troubles: () => troubles.all,
  });
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= work());
}
