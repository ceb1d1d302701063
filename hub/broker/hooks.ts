// The broker's hooks. All of them are set: aedes' defaults permit everything. [TUN-3] [TUN-11]
import { randomUUID } from "node:crypto";
import type { AedesOptions, Client, Connection } from "aedes";
import { asFault, Fault } from "../../hal/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { type AdmittedDevice, REFUSALS } from "../devices/index.ts";
import type { HubInbox } from "../inbox/index.ts";
import type { JournalWriter } from "../journal.ts";
import { MQTT_REFUSALS_MAX } from "../limits.ts";
import type { ClientConnection } from "./client-connection.ts";
import { connackError, type ConnectRefusal, judgeConnect, noteRefusal } from "./connect.ts";
import type { Deliveries } from "./deliveries.ts";
import { mayPublish, mayReceive, maySubscribe } from "./rights.ts";

export interface HookOptions {
  readonly connectionOf: (connection: Connection) => ClientConnection | undefined;
  readonly deliveries: Deliveries;
  readonly inbox: HubInbox;
  readonly journal: JournalWriter;
  /** A client whose certificate and id were accepted, before its CONNACK. */
  readonly onAdmitted: (client: Client) => void;
  /**
   * The key of this client is approved beside the one in force, which ends now.
   * @returns false when it was withdrawn meanwhile.
   */
  readonly onSucceeding: (device: AdmittedDevice) => Promise<boolean>;
  readonly onFault: (fault: Fault) => void;
  /** @returns why nobody is admitted now, or undefined. */
  readonly stopping: () => string | undefined;
}

export type Hooks = Required<
  Pick<AedesOptions, "preConnect" | "authenticate" | "authorizePublish" | "authorizeSubscribe" | "authorizeForward" | "published">
>;

export function createHooks(options: HookOptions): Hooks {
  const { connectionOf, deliveries } = options;
  return {
    ...createConnectHooks(options),
    ...createTopicHooks(options),
    authorizeForward: (client, packet) => {
      const connection = connectionOf(client.conn);
      if (connection?.admission.admitted !== true) return null;
      if (!mayReceive(connection.admission.deviceId, packet.topic)) return null;
      return deliveries.forward(connection, packet);
    },
    published: (_packet, _client, done) => done(null),
  };
}

function createConnectHooks(options: HookOptions): Pick<Hooks, "preConnect" | "authenticate"> {
  const { connectionOf, journal, onAdmitted, stopping } = options;
  const refusals = new WeakMap<Client, ConnectRefusal>();
  return {
    preConnect: (client, packet, done) => {
      const connection = connectionOf(client.conn);
      if (connection === undefined) return done(new Fault("assert.broken", "a connection without its TLS session"), false);
      const refusal = judgeConnect(connection, packet, stopping());
      if (refusal !== undefined) {
        noteRefusal(journal, connection, packet, refusal);
        refusals.set(client, refusal);
        // The broker keeps state by client id, so a refused client must not be able to name one.
        packet.clientId = `refused-${randomUUID()}`;
        delete packet.will;
      }
      // The broker stores nothing for absent clients: a device asks again for what it must have.
      // So no queue grows for a device that never returns.
      packet.clean = true;
      done(null, true);
    },
    authenticate: (client, _username, _password, done) => {
      const refusal = refusals.get(client);
      // [TUN-3] The refusal is a CONNACK, not a cut connection.
      if (refusal !== undefined) return done(connackError(refusal), false);
      const { admission } = connectionOf(client.conn) ?? {};
      if (admission?.admitted !== true) return done(null, false);
      const answer = (late: ConnectRefusal | undefined): void => {
        if (late !== undefined) return done(connackError(late), false);
        onAdmitted(client);
        done(null, true);
      };
      if (!admission.succeeds) return answer(undefined);
      void succeed(options, admission).then(answer);
    },
  };
}

/**
 * [ID-64] Ends the key in force before the CONNACK: who has seen it needs the old key no more.
 * @returns why the client is refused after all.
 */
async function succeed({ onSucceeding, onFault }: HookOptions, device: AdmittedDevice): Promise<ConnectRefusal | undefined> {
  try {
    return (await onSucceeding(device)) ? undefined : { returnCode: 5, reason: "unknown", explanation: REFUSALS.unknown };
  } catch (error) {
    onFault(asFault(error, "hub.store-failed", `replace the key of "${device.deviceId}"`));
    return { returnCode: 3, reason: "hub-stopping", explanation: "the hub cannot use its store" };
  }
}

function createTopicHooks(options: HookOptions): Pick<Hooks, "authorizePublish" | "authorizeSubscribe"> {
  const { connectionOf, inbox, journal } = options;
  return {
    authorizePublish: (client, packet, done) => {
      const deviceId = deviceOf(options, client);
      if (client === null || deviceId === undefined) return done(new Fault("tunnel.refused", "publish without a device"));
      const right = mayPublish(deviceId, packet);
      if ("refused" in right) {
        const { topic } = packet;
        const address = connectionOf(client.conn)?.address;
        journal("topic.refused", deviceId, { verb: "publish", topic, reason: right.refused, address });
        countRefusal(options, client);
        return done(new Fault("tunnel.refused", `publish to "${topic}": ${right.refused}`));
      }
      // The broker sends the PUBACK when this calls back: not before the message is durable.
      if (!inbox.accept(deviceId, right.channel, Buffer.from(packet.payload), (fault) => done(fault ?? null)))
        countRefusal(options, client);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const deviceId = deviceOf(options, client);
      if (deviceId !== undefined && maySubscribe(deviceId, subscription.topic)) return done(null, subscription);
      const { topic } = subscription;
      journal("topic.refused", deviceId, { verb: "subscribe", topic, address: connectionOf(client.conn)?.address });
      done(null, null); // SUBACK 0x80
      countRefusal(options, client);
    },
  };
}

/** [TUN-22] Ends a connection that was refused too often. */
function countRefusal({ connectionOf }: HookOptions, client: Client): void {
  const connection = connectionOf(client.conn);
  if (connection === undefined) return;
  connection.refusals += 1;
  if (connection.refusals < MQTT_REFUSALS_MAX) return;
  connection.endReason ??= "too many refusals";
  client.close();
}

function deviceOf({ connectionOf }: HookOptions, client: Client | null): DeviceId | undefined {
  const connection = client === null ? undefined : connectionOf(client.conn);
  return connection?.admission.admitted === true ? connection.admission.deviceId : undefined;
}
