// The hub's store. Every call is asynchronous, and what belongs together is one commit, so another
// engine can take SQLite's place. The running hub and the command line can use it at once.
import { Fault } from "../../hal/fault.ts";
import { COMMIT_ATTEMPTS_MAX } from "../limits.ts";
import { type AuditStore, createAuditStore } from "./audit.ts";
import { type Boards, createBoards } from "./boards.ts";
import { type Certificates, createCertificates } from "./certificates.ts";
import { type Connections, createConnections } from "./connections.ts";
import { type Devices, createDevices } from "./devices.ts";
import { createCrls, type Crls } from "./crls.ts";
import type { Change, Engine, StatementResult } from "./engine.ts";
import { createEscrows, type Escrows } from "./escrows.ts";
import { type Journal, createJournal, type JournalOptions } from "./journal.ts";
import { observeEngine } from "./health.ts";
import { type Messages, createMessages } from "./messages.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import { openSqlite } from "./sqlite.ts";
import { openSqliteThreads } from "./threaded.ts";

export type { WitnessedHead, WitnessedLog, AuditStore, StoredRecord } from "./audit.ts";
export type { OtherBoard } from "./boards.ts";
export type { IssuedCertificate } from "./certificates.ts";
export type { ConnectionRecord } from "./connections.ts";
export type { StoredCrl } from "./crls.ts";
export type { Device, PendingDevice } from "./devices.ts";
export type { Change } from "./engine.ts";
export type { StoredEscrow } from "./escrows.ts";
export type { JournalEntry, JournalNote } from "./journal.ts";
export type { JournalDetail } from "./journal-pace.ts";
export { isReport, type JournalEvent } from "./catalogue.ts";
export type { Outgoing, Queued } from "./outbox.ts";

/**
 * Reads return promises. What changes the store is made first, as a {@link Change}, and takes
 * effect when it is committed. Some changes are guards: they fail the commit when what the caller
 * read before it decided is no longer so.
 */
export interface Store {
  readonly devices: Devices;
  readonly boards: Boards;
  readonly certificates: Certificates;
  readonly crls: Crls;
  readonly connections: Connections;
  readonly audit: AuditStore;
  readonly messages: Messages;
  readonly outbox: Outbox;
  readonly escrows: Escrows;
  readonly journal: Journal;
  /**
   * All changes or none, in their order. Resolves when they are on the disk; commits that are asked
   * for at the same time share one write.
   * @throws Fault `hub.store-conflict` when a guard fails; `hub.store-failed`.
   */
  commit(...changes: readonly Change[]): Promise<void>;
  /** Changes when another process has written to the store. */
  version(): Promise<number>;
  /** Writes the journal first. May be called more than once. */
  close(): Promise<void>;
}

export interface StoreOptions extends Partial<JournalOptions> {
  /** [STA-40] Called when reads or commits fail, each time, and when they work again. */
  readonly onFailing?: (fault: Fault) => void;
  readonly onWorking?: () => void;
  /** The database works on threads of its own, as in the running hub. Default: on this one. */
  readonly threads?: boolean;
}

/** @throws Fault `hub.store-failed` when it cannot be opened, or was written by a newer version. */
export async function openStore(path: string, options: StoreOptions = {}): Promise<Store> {
  const { threads = false, onEntry = () => undefined, onFault = () => undefined } = options;
  const engine = threads ? await openSqliteThreads(path, { onEnded: onFault }) : openSqlite(path);
  const { onFailing = () => undefined, onWorking = () => undefined } = options;
  return createStore(observeEngine(engine, { onFailing, onWorking }), { onEntry, onFault });
}

function createStore(engine: Engine, options: JournalOptions): Store {
  const journal = createJournal(engine, options);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    try {
      await journal.flush();
    } finally {
      await engine.close();
    }
  };
  return {
    devices: createDevices(engine),
    boards: createBoards(engine),
    certificates: createCertificates(engine),
    crls: createCrls(engine),
    connections: createConnections(engine),
    audit: createAuditStore(engine),
    messages: createMessages(engine),
    outbox: createOutbox(engine),
    escrows: createEscrows(engine),
    journal,
    commit: async (...changes) => {
      const results = await commitAll(engine, changes);
      let at = 0;
      for (const { statements, committed } of changes) {
        committed?.(results.slice(at, at + statements.length));
        at += statements.length;
      }
    },
    version: () => engine.version(),
    close: () => (closing ??= close()),
  };
}

async function commitAll(engine: Engine, changes: readonly Change[]): Promise<readonly StatementResult[]> {
  const statements = changes.flatMap((change) => change.statements);
  if (statements.length === 0) return [];
  try {
    return await engine.commit(statements);
  } catch (error) {
    for (const { failed } of changes) failed?.();
    throw error;
  }
}

/**
 * Reads, decides and commits; when somebody else was faster, once more from the start.
 * @throws what `work` throws; Fault `hub.store-conflict` after too many attempts.
 */
export async function retryOnConflict<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const isConflict = error instanceof Fault && error.code === "hub.store-conflict";
      if (!isConflict || attempt >= COMMIT_ATTEMPTS_MAX) throw error;
    }
  }
}
