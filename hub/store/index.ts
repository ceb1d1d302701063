// The hub's store, in one SQLite file. The running hub and the command line can use it at once.
import type { DatabaseSync } from "node:sqlite";
import { asFault, Fault } from "../../hal/fault.ts";
import { type AuditStore, createAuditStore } from "./audit.ts";
import { type Certificates, createCertificates } from "./certificates.ts";
import { type Connections, createConnections } from "./connections.ts";
import { inTransaction, openDatabase, pragma } from "./database.ts";
import { type Devices, createDevices } from "./devices.ts";
import { type Journal, createJournal } from "./journal.ts";
import { type Messages, createMessages } from "./messages.ts";
import { createOutbox, type Outbox } from "./outbox.ts";

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
  try {
    return storeOf(database, path);
  } catch (error) {
    database.close();
    throw asFault(error, "hub.store-failed", `open the hub's store "${path}"`);
  }
}

function storeOf(database: DatabaseSync, path: string): Store {
  return {
    devices: createDevices(database),
    certificates: createCertificates(database),
    connections: createConnections(database),
    audit: createAuditStore(database),
    messages: createMessages(database),
    outbox: createOutbox(database),
    journal: createJournal(database),
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
