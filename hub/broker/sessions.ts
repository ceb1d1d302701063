// Who is connected: at most one connection a device, told to the journal and the operator's list, ended when the device may no longer be there.
import type { Client, Connection } from "aedes";
import type { DeviceId } from "../../hal/format/identity.ts";
import { standing } from "../devices/index.ts";
import type { JournalWriter } from "../journal.ts";
import type { Store } from "../store/index.ts";
import type { ClientConnection } from "./client-connection.ts";

export interface SessionStoreOptions {
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly linkOf: (connection: Connection) => ClientConnection | undefined;
  readonly onClosed: (deviceId: DeviceId) => void;
}

export interface Sessions {
  /** Before `opened`: another connection of the same device gives way to this one. */
  admitted(client: Client): void;
  opened(client: Client): void;
  closed(client: Client): void;
  recheck(): void;
  /** Says why all of them end now. */
  ending(reason: string): void;
}

export function openSessions({ store, journal, linkOf, onClosed }: SessionStoreOptions): Sessions {
  const clients = new Map<DeviceId, Client>();

  const deviceOf = (
    client: Client,
  ): { readonly link: ClientConnection; readonly deviceId: DeviceId; readonly serial: string } | undefined => {
    const link = linkOf(client.conn);
    if (link === undefined || !link.admission.admitted) return undefined;
    return { link, deviceId: link.admission.deviceId, serial: link.admission.serial };
  };

  return {
    admitted: (client) => {
      const known = deviceOf(client);
      const before = known === undefined ? undefined : clients.get(known.deviceId);
      const old = before === undefined ? undefined : linkOf(before.conn);
      if (known === undefined || old === undefined) return;
      old.ended = "replaced by a newer connection of the same device";
      journal("connection.replaced", known.deviceId, { address: known.link.address, replaced: old.address });
    },
    opened: (client) => {
      const known = deviceOf(client);
      if (known === undefined || client.closed) return;
      const { deviceId, serial } = known;
      const { address, protocol, cipher, group } = known.link;
      clients.set(deviceId, client);
      store.transaction(() => {
        store.connections.put({ deviceId, sinceMs: Date.now(), address, serial, protocol, cipher, group });
        journal("connection.opened", deviceId, { address, serial, protocol, cipher, group });
      });
    },
    closed: (client) => {
      const known = deviceOf(client);
      if (known === undefined) return;
      const { deviceId, link } = known;
      const current = clients.get(deviceId) === client;
      if (current) clients.delete(deviceId);
      onClosed(deviceId);
      store.transaction(() => {
        if (current) store.connections.remove(deviceId);
        journal("connection.closed", deviceId, { reason: link.ended ?? "closed by the device", address: link.address });
      });
    },
    ending: (reason) => {
      for (const client of clients.values()) {
        const link = linkOf(client.conn);
        if (link !== undefined) link.ended ??= reason;
      }
    },
    recheck: () => {
      for (const [deviceId, client] of clients) {
        const link = linkOf(client.conn);
        if (link?.certificate === undefined) continue;
        const reason = standing(link.certificate, deviceId, store, Date.now());
        if (reason === undefined) continue;
        link.ended = reason;
        journal("connection.kicked", deviceId, { reason, address: link.address });
        client.close();
      }
    },
  };
}
