// The inbox for messages from the hub. Their size and number are bounded; each is validated once
// and handled once. [TUN-8] [TUN-11]
import type * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson, REQUEST_VALUES_MAX } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { type DownChannel, DOWN_CHANNELS, downTopic, MESSAGE_BYTES_MAX } from "./format.ts";
import { INBOX_RUNNING_MAX, SEEN_IDS_MAX } from "./limits.ts";

/** Every schema of a message from the hub has at least its id. */
export type MessageSchema = v.GenericSchema<unknown, { readonly id: string }>;

export interface Inbox {
  /**
   * Sets the one handler of a channel. When a handler throws, its fault is reported, and the
   * message is accepted if it is sent once more.
   */
  on<S extends MessageSchema>(channel: DownChannel, schema: S, handle: (message: v.InferOutput<S>) => void | Promise<void>): void;
  /** Never throws. */
  take(topic: string, payload: Uint8Array): void;
}

interface Checked {
  readonly id: string;
  readonly run: () => void | Promise<void>;
}

/** @param onRefused is called for a message that was not handled, without the message itself. */
export function createInbox(deviceId: DeviceId, onRefused: (channel: DownChannel | undefined, fault: Fault) => void): Inbox {
  const readers = new Map<DownChannel, (payload: Uint8Array) => Checked>();
  const seen = new Set<string>();
  let running = 0;

  async function handle(channel: DownChannel, { id, run }: Checked): Promise<void> {
    running += 1;
    try {
      await run();
    } catch (error) {
      seen.delete(id);
      onRefused(channel, asFault(error, "message.invalid", `handle a message on "${channel}"`));
    } finally {
      running -= 1;
    }
  }

  function read(channel: DownChannel, payload: Uint8Array): Checked {
    const reader = readers.get(channel);
    if (reader === undefined) throw new Fault("message.invalid", `read a message on "${channel}": it has no handler`);
    if (running >= INBOX_RUNNING_MAX)
      throw new Fault("message.invalid", `read a message on "${channel}": ${running} others are still in progress`);
    return reader(payload);
  }

  return {
    on(channel, schema, handle) {
      readers.set(channel, (payload) => {
        const what = `the message on "${channel}"`;
        const message = check(
          schema,
          parseJson(payload, MESSAGE_BYTES_MAX, what, { valuesMax: REQUEST_VALUES_MAX }),
          what,
          "message.invalid",
        );
        return { id: message.id, run: () => handle(message) };
      });
    },
    take(topic, payload) {
      const channel = DOWN_CHANNELS.find((each) => downTopic(deviceId, each) === topic);
      if (channel === undefined) {
        onRefused(undefined, new Fault("message.invalid", "read a message: its topic is not one of this device"));
        return;
      }
      try {
        const message = read(channel, payload);
        if (seen.has(message.id)) return;
        seen.add(message.id);
        const [oldest] = seen;
        if (seen.size > SEEN_IDS_MAX && oldest !== undefined) seen.delete(oldest);
        void handle(channel, message);
      } catch (error) {
        onRefused(channel, asFault(error, "message.invalid", `read a message on "${channel}"`));
      }
    },
  };
}
