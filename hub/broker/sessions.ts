// The admitted MQTT sessions: at most one per device, written to the journal and to the operator's
// list, and closed when the device may no longer be connected.
import type { Client, Connection } from "aedes";
import { asFault, type Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { type AdmissionRefusal, type AdmittedDevice, readStanding, readStandings } from "../devices/index.ts";
import type { JournalWriter } from "../journal.ts";
import { CONTEST_MS, CONTESTS_MIN } from "../limits.ts";
import type { Change, Store } from "../store/index.ts";
import type { ClientConnection } from "./client-connection.ts";

export interface SessionOptions {
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly connectionOf: (connection: Connection) => ClientConnection | undefined;
  readonly onClosed: (deviceId: DeviceId) => void;
  readonly onFault: (fault: Fault) => void;
}

interface AdmittedClient {
  readonly connection: ClientConnection;
  readonly deviceId: DeviceId;
  readonly serial: string;
}

export class Sessions {
  readonly #options: SessionOptions;
  readonly #clients = new Map<DeviceId, Client>();
  /** When connections of a device ended earlier ones, for the devices that are connected. */
  readonly #contests = new Map<DeviceId, readonly number[]>();
  readonly #writing = new Map<DeviceId, Promise<void>>();
  #ending: string | undefined;
  #rechecks = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Before {@link open}: an earlier connection of the same device gives way to this one. */
  replaceEarlier(client: Client): void {
    const admitted = this.#admitted(client);
    if (admitted === undefined) return;
    const earlier = this.#clients.get(admitted.deviceId);
    const replaced = earlier === undefined ? undefined : this.#options.connectionOf(earlier.conn);
    if (replaced === undefined) return;
    replaced.endReason = "replaced by a newer connection of the same device";
    const detail = { address: admitted.connection.address, replaced: replaced.address };
    this.#options.journal("connection.replaced", admitted.deviceId, detail);
    this.#noteContest(admitted.deviceId, detail);
  }

  /** [ID-99] */
  #noteContest(deviceId: DeviceId, { address, replaced }: { readonly address: string; readonly replaced: string }): void {
    const nowMs = performance.now();
    const recent = (this.#contests.get(deviceId) ?? []).filter((atMs) => nowMs - atMs < CONTEST_MS);
    this.#contests.set(deviceId, [...recent, nowMs].slice(-CONTESTS_MIN));
    if (recent.length + 1 < CONTESTS_MIN) return;
    const from = [...new Set([address, replaced])].toSorted().join(" ");
    this.#options.journal("device.contested", deviceId, {
      from,
      what: "two peers use the certificate of this id and end each other's connections: a copied disk, or a stolen key",
    });
  }

  open(client: Client): void {
    const admitted = this.#admitted(client);
    if (admitted === undefined || client.closed) return;
    const { store, journal } = this.#options;
    const { deviceId, serial } = admitted;
    const { address, protocol, cipher, group } = admitted.connection;
    this.#clients.set(deviceId, client);
    const record = { deviceId, sinceMs: Date.now(), address, serial, protocol, cipher, group };
    this.#write(deviceId, store.connections.put(record));
    journal("connection.opened", deviceId, { address, serial, protocol, cipher, group });
    // It was judged before the others were judged again, and may have been revoked in between.
    const { rechecks, admission } = admitted.connection;
    if (rechecks !== this.#rechecks && admission.admitted) void this.#recheckLate(client, admission);
  }

  /** How often {@link recheck} has begun. */
  get rechecks(): number {
    return this.#rechecks;
  }

  /** Resolves when the operator's list has the device's connection, or lacks it. */
  async recorded(deviceId: DeviceId): Promise<void> {
    await this.#writing.get(deviceId);
  }

  /** Resolves when nothing of it uses the store any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing.values());
  }

  close(client: Client): void {
    const admitted = this.#admitted(client);
    if (admitted === undefined) return;
    const { store, journal, onClosed } = this.#options;
    const { deviceId, connection } = admitted;
    const isCurrent = this.#clients.get(deviceId) === client;
    if (isCurrent) this.#clients.delete(deviceId);
    onClosed(deviceId);
    if (isCurrent) this.#write(deviceId, store.connections.remove(deviceId));
    const reason = connection.endReason ?? "closed by the device";
    journal("connection.closed", deviceId, { reason, address: connection.address });
  }

  /** Why all sessions end and no client is admitted any more; undefined while the hub serves. */
  get ending(): string | undefined {
    return this.#ending;
  }

  /** Notes why all sessions are about to end. The caller closes the connections. */
  endAll(reason: string): void {
    this.#ending = reason;
    for (const client of this.#clients.values()) this.noteEnd(client, reason);
  }

  /** Notes why this connection ends, unless a reason is noted already. */
  noteEnd(client: Client, reason: string): void {
    const connection = this.#options.connectionOf(client.conn);
    if (connection !== undefined) connection.endReason ??= reason;
  }

  /** Ends the sessions of devices that may no longer be connected. */
  async recheck(): Promise<void> {
    const { store, connectionOf } = this.#options;
    this.#rechecks += 1;
    const standing = await readStandings(store, Date.now());
    for (const [deviceId, client] of this.#clients) {
      const connection = connectionOf(client.conn);
      if (connection?.admission.admitted !== true) continue;
      const reason = standing(connection.admission);
      if (reason !== undefined) this.#kick(client, deviceId, reason);
    }
  }

  /** Judges one session again. */
  async #recheckLate(client: Client, device: AdmittedDevice): Promise<void> {
    try {
      const reason = await readStanding(this.#options.store, device, Date.now());
      if (reason !== undefined) this.#kick(client, device.deviceId, reason);
    } catch (error) {
      this.#options.onFault(asFault(error, "hub.store-failed", `judge the connection of "${device.deviceId}" again`));
    }
  }

  #kick(client: Client, deviceId: DeviceId, reason: AdmissionRefusal): void {
    const connection = this.#options.connectionOf(client.conn);
    if (connection === undefined) return;
    connection.endReason = reason;
    this.#options.journal("connection.kicked", deviceId, { reason, address: connection.address });
    client.close();
  }

  /** The engine keeps the order of commits, so the last one for a device is what the list shows. */
  #write(deviceId: DeviceId, change: Change): void {
    const { store, onFault } = this.#options;
    const writing = store
      .commit(change)
      .catch((error: unknown) => onFault(asFault(error, "hub.store-failed", `list the connection of "${deviceId}"`)))
      .finally(() => {
        if (this.#writing.get(deviceId) === writing) this.#writing.delete(deviceId);
      });
    this.#writing.set(deviceId, writing);
  }

  #admitted(client: Client): AdmittedClient | undefined {
    const connection = this.#options.connectionOf(client.conn);
    if (connection === undefined || !connection.admission.admitted) return undefined;
    return { connection, deviceId: connection.admission.deviceId, serial: connection.admission.serial };
  }
}
