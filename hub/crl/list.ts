// The keeper of the list of revoked certificates: it issues the next one when a certificate was
// revoked, and otherwise long before the one in force ends. [ID-90] [ID-91] [ID-92]
import { asFault, Fault } from "../../hal/fault.ts";
import { clockFault, type Issuer } from "../authority/index.ts";
import { CRL_BACKDATED_MS, CRL_ENTRIES_MAX, CRL_ISSUE_MS, CRL_LIFE_MS, CRL_OVERDUE_MS, CRL_RETENTION_MS } from "../limits.ts";
import { retryOnConflict, type Store, type StoredCrl } from "../store/index.ts";

export interface CrlKeeper {
  /**
   * Issues a list if one is due. What fails becomes a trouble, and ends with the next success.
   * @returns the list in force.
   * @throws Fault `hub.crl-failed` without a list that is still in force.
   */
  current(): Promise<StoredCrl>;
}

export interface CrlKeeperOptions {
  readonly store: Store;
  readonly issuer: Issuer;
  readonly nowMs?: () => number;
  /** Default: {@link CRL_ENTRIES_MAX}. */
  readonly entriesMax?: number;
  /** Why no list can be issued, or why it lacks certificates; undefined when all is well. */
  readonly onTrouble?: (fault: Fault | undefined) => void;
}

const TOLD: ReadonlySet<string> = new Set(["hub.clock-wrong", "hub.store-failed", "hub.store-conflict"]);

export function createCrlKeeper(options: CrlKeeperOptions): CrlKeeper {
  return new Keeper(options);
}

class Keeper implements CrlKeeper {
  readonly #options: CrlKeeperOptions;
  /** One list is issued at a time, and who asks after a revocation waits for the one with it. */
  #last: Promise<unknown> = Promise.resolve();
  /** A list of some thousand entries is read once, not at each request. */
  #known: StoredCrl | undefined;

  constructor(options: CrlKeeperOptions) {
    this.#options = options;
  }

  current(): Promise<StoredCrl> {
    const run = this.#last.then(() => this.#refreshed());
    this.#last = run.catch(() => undefined);
    return run;
  }

  async #refreshed(): Promise<StoredCrl> {
    const { onTrouble = () => undefined, nowMs = Date.now, entriesMax = CRL_ENTRIES_MAX } = this.#options;
    try {
      const crl = await retryOnConflict(() => this.#settle(nowMs()));
      onTrouble(crl.count < entriesMax ? undefined : tooMany(entriesMax));
      return crl;
    } catch (error) {
      const before = this.#known;
      const fault = notIssued(asFault(error, "hub.store-failed", "issue the list of revoked certificates"), before, nowMs());
      if (!isToldElsewhere(fault, before, nowMs())) onTrouble(fault);
      if (before === undefined || before.nextUpdateMs <= nowMs()) throw fault;
      return before;
    }
  }

  async #settle(nowMs: number): Promise<StoredCrl> {
    const { store, issuer, entriesMax = CRL_ENTRIES_MAX } = this.#options;
    const before = await this.#read();
    const revision = await store.crls.revision();
    if (before !== undefined && !isDue(before, revision, issuer.keyId, nowMs)) return before;
    const fault = clockFault(nowMs, "authority", issuer.validity);
    if (fault !== undefined) throw fault;
    const entries = await store.crls.revoked(nowMs - CRL_RETENTION_MS, entriesMax);
    const dates = {
      // [ID-91] Higher than before, and also after a store was put back that knows of no later one.
      number: Math.max((before?.number ?? 0) + 1, Math.floor(nowMs)),
      thisUpdateMs: thisUpdateAfter(before, issuer.validity.fromMs, nowMs),
      nextUpdateMs: wholeSeconds(nowMs + CRL_LIFE_MS),
    };
    const crl: StoredCrl = {
      ...dates,
      keyId: issuer.keyId,
      issuedAtMs: Math.floor(nowMs),
      revision,
      count: entries.length,
      der: issuer.issueCrl({ ...dates, entries }),
    };
    await store.commit(store.crls.put(crl, before?.number));
    return (this.#known = crl);
  }

  async #read(): Promise<StoredCrl | undefined> {
    const { crls } = this.#options.store;
    if (this.#known === undefined || (await crls.number()) !== this.#known.number) this.#known = await crls.current();
    return this.#known;
  }
}

/** A list from the future was issued while the clock was wrong, and brokers refuse it. [ID-91] */
function isDue({ revision, keyId, issuedAtMs }: StoredCrl, found: string, issuerKeyId: string, nowMs: number): boolean {
  return revision !== found || keyId !== issuerKeyId || nowMs - issuedAtMs >= CRL_ISSUE_MS || issuedAtMs > nowMs;
}

/**
 * [ID-91] The beginning of the next list: before now, because a broker's clock may be behind, and
 * at least a second after that of the list before. OpenSSL, when it has read both, takes the one
 * that begins later, and dates are in whole seconds.
 */
function thisUpdateAfter(before: StoredCrl | undefined, earliestMs: number, nowMs: number): number {
  const backdated = wholeSeconds(Math.max(nowMs - CRL_BACKDATED_MS, earliestMs));
  // one from the future is as none
  if (before === undefined || before.thisUpdateMs > nowMs) return backdated;
  // revocations one after another, for an hour, use up the room: then it stays, and never falls
  return Math.max(backdated, Math.min(before.thisUpdateMs + 1000, wholeSeconds(nowMs)));
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

function notIssued(cause: Fault, before: StoredCrl | undefined, nowMs: number): Fault {
  const until =
    before === undefined
      ? "there is none yet"
      : before.nextUpdateMs <= nowMs
        ? `the last one ended at ${iso(before.nextUpdateMs)}, and a broker that reads it refuses every device`
        : `the one in force ends at ${iso(before.nextUpdateMs)}; from then on a broker that reads it refuses every device`;
  return new Fault("hub.crl-failed", `the list of revoked certificates could not be issued: ${cause.message}; ${until}`, {
    cause,
  });
}

/** A wrong clock and a failing store are troubles of their own, until the list is overdue. */
function isToldElsewhere({ cause }: Fault, before: StoredCrl | undefined, nowMs: number): boolean {
  if (!(cause instanceof Fault) || !TOLD.has(cause.code)) return false;
  return before === undefined || nowMs - before.issuedAtMs < CRL_OVERDUE_MS;
}

function tooMany(entriesMax: number): Fault {
  return new Fault(
    "hub.crl-failed",
    `the list of revoked certificates is full with ${entriesMax} entries, and those that end first are not on it; this hub's own broker refuses them all the same`,
  );
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
