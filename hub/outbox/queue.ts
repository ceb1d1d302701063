// Queueing messages for devices. A hint only points at something signed, and the device decides
// about an operation. [OTA-42] [OPS-6]
import { randomUUID } from "node:crypto";
import type { DownChannel } from "../../agent/tunnel/format.ts";
import { Fault } from "../../hal/fault.ts";
import type { JsonValue } from "../../hal/format/json.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { encodeMessage } from "../inbox/index.ts";
import type { Outgoing, Store } from "../store/index.ts";

export type RepositoryHint =
  | { readonly channel: "update"; readonly body: { readonly kind: "update.start"; readonly target: string } }
  | { readonly channel: "policy"; readonly body: { readonly kind: "repository.changed" } };

/**
 * [OTA-42] Queues a hint.
 * @param lifeMs how long it waits for a device that is not connected.
 * @throws Fault `hub.device-unknown`, `hub.outbox-full`.
 */
export function queueHint(store: Store, deviceId: DeviceId, hint: RepositoryHint, lifeMs: number): Outgoing {
  return queue(store, deviceId, { channel: hint.channel, kind: hint.body.kind, body: hint.body, correlation: undefined }, lifeMs);
}

/**
 * [OPS-6] Queues an operation.
 * @returns the message; its `correlation` is the id that the answer will carry.
 * @throws Fault `hub.device-unknown`, `hub.outbox-full`.
 */
export function queueOperation(
  store: Store,
  deviceId: DeviceId,
  operation: { readonly operation: string; readonly args: JsonValue },
  lifeMs: number,
): Outgoing {
  const correlation = randomUUID();
  const body = { v: 1, id: correlation, ...operation };
  return queue(store, deviceId, { channel: "operation", kind: "operation", body, correlation }, lifeMs);
}

interface MessageContent {
  readonly channel: DownChannel;
  readonly kind: string;
  readonly body: JsonValue;
  readonly correlation: string | undefined;
}

function queue(store: Store, deviceId: DeviceId, { channel, kind, body, correlation }: MessageContent, lifeMs: number): Outgoing {
  return store.transaction(() => {
    if (store.devices.approved(deviceId) === undefined)
      throw new Fault(
        "hub.device-unknown",
        `send to "${deviceId}": none of its keys is approved; run sallyport-hub devices list to see the known devices`,
      );
    const id = randomUUID();
    const queuedAtMs = Date.now();
    const message = encodeMessage(id, body);
    const outgoing: Outgoing = {
      deviceId,
      id,
      channel,
      kind,
      correlation,
      message,
      queuedAtMs,
      expiresAtMs: queuedAtMs + lifeMs,
    };
    store.outbox.add(outgoing);
    return outgoing;
  });
}
