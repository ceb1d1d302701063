// Queueing messages for devices. A hint only points at something signed, and the device decides
// about an operation. [OTA-42] [OPS-6]
import { randomUUID } from "node:crypto";
import type { DownChannel } from "../../agent/tunnel/format.ts";
import { Fault } from "../../hal/fault.ts";
import type { JsonValue } from "../../hal/format/json.ts";
import type { Board, DeviceId } from "../../hal/format/identity.ts";
import { encodeMessage } from "../inbox/index.ts";
import { OUTBOX_PER_DEVICE_MAX } from "../limits.ts";
import { type Change, type Outgoing, retryOnConflict, type Store } from "../store/index.ts";

export type Hint =
  | { readonly channel: "update"; readonly body: { readonly kind: "update.start"; readonly target: string } }
  | { readonly channel: "policy"; readonly body: { readonly kind: "repository.changed" } }
  | { readonly channel: "policy"; readonly body: { readonly kind: "identity.elsewhere"; readonly found: Board } };

/**
 * [OTA-42] Queues a hint.
 * @param lifeMs how long it waits for a device that is not connected.
 * @param withIt committed together with it.
 * @throws Fault `hub.device-unknown`, `hub.outbox-full`.
 */
export function queueHint(
  store: Store,
  deviceId: DeviceId,
  hint: Hint,
  lifeMs: number,
  ...withIt: readonly Change[]
): Promise<Outgoing> {
  const content = { channel: hint.channel, kind: hint.body.kind, body: hint.body, correlation: undefined };
  return queue(store, deviceId, content, lifeMs, () => withIt);
}

/**
 * [OPS-6] Queues an operation.
 * @param entry the journal's entry about it, committed together with it.
 * @returns the message; its `correlation` is the id that the answer will carry.
 * @throws Fault `hub.device-unknown`, `hub.outbox-full`.
 */
export function queueOperation(
  store: Store,
  deviceId: DeviceId,
  operation: { readonly operation: string; readonly args: JsonValue },
  lifeMs: number,
  entry: (correlation: string) => Change,
): Promise<Outgoing> {
  const correlation = randomUUID();
  const body = { v: 1, id: correlation, ...operation };
  const content = { channel: "operation", kind: "operation", body, correlation } as const;
  return queue(store, deviceId, content, lifeMs, () => [entry(correlation)]);
}

interface MessageContent {
  readonly channel: DownChannel;
  readonly kind: string;
  readonly body: JsonValue;
  readonly correlation: string | undefined;
}

function queue(
  store: Store,
  deviceId: DeviceId,
  { channel, kind, body, correlation }: MessageContent,
  lifeMs: number,
  withIt: () => readonly Change[],
): Promise<Outgoing> {
  return retryOnConflict(async () => {
    const approved = await store.devices.approved(deviceId);
    if (approved === undefined)
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
    if ((await store.outbox.waiting(outgoing)) >= OUTBOX_PER_DEVICE_MAX)
      throw new Fault(
        "hub.outbox-full",
        `queue a message for "${deviceId}": ${OUTBOX_PER_DEVICE_MAX} already wait for it; try again after it has received some, or after they have expired`,
      );
    await store.commit(store.devices.approvedStill(deviceId, approved.fingerprint), store.outbox.add(outgoing), ...withIt());
    return outgoing;
  });
}
