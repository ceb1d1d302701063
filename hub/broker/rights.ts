// The topics that a device may publish and subscribe to: its own, by the CN of its certificate.
// Pure. [TUN-11]
import {
  DOWN_CHANNELS,
  MESSAGE_BYTES_MAX,
  parseTopic,
  TOPIC_ROOT,
  UP_CHANNELS,
  type UpChannel,
} from "../../agent/tunnel/format.ts";
import type { DeviceId } from "../../hal/format/identity.ts";

export type PublishRight = { readonly channel: UpChannel } | { readonly refused: string };

/** [TUN-11] Its own `up/` channels, of bounded size; retained only the status [TUN-9]. */
export function mayPublish(
  deviceId: DeviceId,
  { topic, payload, retain }: { readonly topic: string; readonly payload: string | Uint8Array; readonly retain?: boolean },
): PublishRight {
  const parsed = parseTopic(topic);
  if (parsed === undefined || parsed.direction !== "up" || parsed.deviceId !== deviceId)
    return { refused: "not its own up/ topic" };
  const channel = UP_CHANNELS.find((each) => each === parsed.channel);
  if (channel === undefined) return { refused: "no such channel" };
  if (Buffer.byteLength(payload) > MESSAGE_BYTES_MAX) return { refused: `more than ${MESSAGE_BYTES_MAX} bytes` };
  if (retain === true && channel !== "status") return { refused: "retained, which only up/status may be" };
  return { channel };
}

/** [TUN-11] Its own `down/` channels one by one, or all by one wildcard below its own `down/`. */
export function maySubscribe(deviceId: DeviceId, filter: string): boolean {
  const own = `${TOPIC_ROOT}/${deviceId}/down/`;
  return filter === `${own}+` || filter === `${own}#` || DOWN_CHANNELS.some((channel) => filter === own + channel);
}

/** A second check of what the broker sends to a client: `topic` lies below its own `down/`. */
export function mayReceive(deviceId: DeviceId, topic: string): boolean {
  const parsed = parseTopic(topic);
  return parsed !== undefined && parsed.direction === "down" && parsed.deviceId === deviceId;
}
