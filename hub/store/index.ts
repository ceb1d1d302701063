// The hub's store, in one SQLite file. The running hub and the command line can use it at once.
import { asFault, Fault } from "../../hal/fault.ts";
import { type AuditStore, openAudit } from "./audit.ts";
import { type Certificates, openCertificates } from "./certificates.ts";
import { type Connections, openConnections } from "./connections.ts";
import { inTransaction, openDatabase, pragma } from "./database.ts";
import { type Devices, openDevices } from "./devices.ts";
import { type Journal, openJournal } from "./journal.ts";
import { type Messages, openMessages } from "./messages.ts";
import { openOutbox, type Outbox } from "./outbox.ts";

export type { WitnessedLog, AuditStore, StoredRecord } from "./audit.ts";
export type { IssuedCertificate } from "./certificates.ts";
export type { ConnectionRecord } from "./connections.ts";
export type { Device } from "./devices.ts";
export type { JournalDetail, JournalEntry } from "./journal.ts";
export type { JournalEvent } from "./catalogue.ts";
export type { Outgoing, Queued } from "./outbox.ts";

export interface Store {
  readonly devices: Devices;
  readonly certificates: Certificates;
  readonly connections: Connections;
  readonly audit: AuditStore;
  readonly messages: Messages;
  readonly outbox: Outbox;
  readonly journal: Journal;
  /**
   * Atomic, and on the disk when it returns.
   * @throws what `work` throws; Fault `hub.store-failed` for SQLite's errors.
   */
  transaction<T>(work: () => T): T;
  /** Changes when another process has written to the store. */
  version(): number;
  /** May be called more than once. */
  close(): void;
}

/** @throws Fault `hub.store-failed`. */
export function openStore(path: string): Store {
  const database = openDatabase(path);
  return {
    devices: openDevices(database),
    certificates: openCertificates(database),
    connections: openConnections(database),
    audit: openAudit(database),
    messages: openMessages(database),
    outbox: openOutbox(database),
    journal: openJournal(database),
    transaction: (work) => {
      try {
        return inTransaction(database, work);
      } catch (error) {
        if (error instanceof Fault) throw error;
        throw asFault(error, "hub.store-failed", `write to the hub's store "${path}"`);
      }
    },
    version: () => pragma(database, "data_version"),
    close: () => {
      if (database.isOpen) database.close();
    },
  };
}
