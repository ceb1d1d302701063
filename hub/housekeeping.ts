// The periodic work of a running hub: it follows what the command line decided, sends messages
// again, renews its own certificate, and issues the list of revoked ones.
import { asFault, type Fault } from "../hal/fault.ts";
import type { Api } from "./api/index.ts";
import type { Authority } from "./authority/index.ts";
import type { Broker } from "./broker/index.ts";
import type { CrlKeeper } from "./crl/index.ts";
import type { JournalWriter } from "./journal.ts";
import type { OutboxDelivery } from "./outbox/index.ts";
import type { Store } from "./store/index.ts";

/** How soon the running hub sees a change that the command line made. */
const STORE_INTERVAL_MS = 500;
/**
 * How often the dates of certificates are checked: those of connected devices, and the hub's own.
 */
const DATES_INTERVAL_MS = 60_000;
/** How often the clock is compared with the monotonic one. */
const CLOCK_INTERVAL_MS = 5000;
/** How often the open files are counted. */
const FILES_INTERVAL_MS = 1000;
/** How often the outbox is checked for messages that are due again or have expired. */
const OUTBOX_INTERVAL_MS = 5000;

export interface HousekeepingOptions {
  readonly authority: Authority;
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly api: Api;
  readonly broker: Broker;
  readonly delivery: OutboxDelivery;
  readonly crl: CrlKeeper;
  /** Tells when the files that the process may have open run out. */
  readonly watchFiles: () => Promise<void>;
  /** Compares the clock with the certificates, and with the monotonic clock. */
  readonly checkClock: () => void;
  readonly onFault: (fault: Fault) => void;
}

/** @returns the timers; dispose to stop them. What fails goes to `onFault`. */
export function startHousekeeping(options: HousekeepingOptions): Disposable {
  const { authority, store, journal, api, broker, delivery, crl, watchFiles, checkClock, onFault } = options;
  const timers = new DisposableStack();
  const every = (intervalMs: number, work: () => void | Promise<void>): void => {
    let running = false;
    const timer = setInterval(() => {
      if (running) return;
      running = true;
      void guarded(work, onFault).finally(() => (running = false));
    }, intervalMs);
    timers.defer(() => clearInterval(timer));
  };
  let version: number | undefined;
  every(STORE_INTERVAL_MS, async () => {
    const current = await store.version();
    if (current === version) return;
    version = current;
    await broker.recheck();
    delivery.sendDue();
  });
  // [ID-90] What fails is a trouble already.
  every(STORE_INTERVAL_MS, () =>
    crl.current().then(
      () => undefined,
      () => undefined,
    ),
  );
  every(OUTBOX_INTERVAL_MS, () => delivery.sendDue());
  every(FILES_INTERVAL_MS, watchFiles);
  every(CLOCK_INTERVAL_MS, checkClock);
  every(DATES_INTERVAL_MS, async () => {
    await broker.recheck();
    const renewed = await authority.renewServer(Date.now());
    checkClock();
    if (renewed === undefined) return;
    api.renew(renewed);
    broker.renew(renewed);
    journal("server-certificate.renewed", undefined);
  });
  return timers;
}

async function guarded(work: () => void | Promise<void>, onFault: (fault: Fault) => void): Promise<void> {
  try {
    await work();
  } catch (error) {
    onFault(asFault(error, "hub.store-failed", "run the hub's periodic work"));
  }
}
