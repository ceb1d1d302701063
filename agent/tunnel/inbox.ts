// The inbox for messages from the hub. Their size and number are bounded; each is validated once
// and handled once, unless its handler takes every message. [TUN-8] [TUN-11]
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
  /**
   * As {@link on}, for a handler that gets every valid message, repeated ones included, however
   * many others are in progress. It bounds them itself, because it answers each. [OPS-6]
   * @param refuse gets what is JSON and does not fit `schema`, before it is reported. [OPS-23]
   */
  onEvery<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => Promise<void>,
    refuse: (value: unknown, fault: Fault) => void,
  ): void;
  /** Never throws. */
  take(topic: string, payload: Uint8Array): void;
}

interface Checked {
  readonly id: string;
  readonly run: () => void | Promise<void>;
}

interface Reader {
  readonly takesEvery: boolean;
  readonly check: (payload: Uint8Array) => Checked;
}

/** @param onRefused is called for a message that was not handled, without the message itself. */
export function createInbox(deviceId: DeviceId, onRefused: (channel: DownChannel | undefined, fault: Fault) => void): Inbox {
  return new MessageInbox(deviceId, onRefused);
}

class MessageInbox implements Inbox {
  readonly #deviceId: DeviceId;
  readonly #onRefused: (channel: DownChannel | undefined, fault: Fault) => void;
  readonly #readers = new Map<DownChannel, Reader>();
  readonly #seen = new Set<string>();
  #running = 0;

  constructor(deviceId: DeviceId, onRefused: (channel: DownChannel | undefined, fault: Fault) => void) {
    this.#deviceId = deviceId;
    this.#onRefused = onRefused;
  }

  on<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => void | Promise<void>,
  ): void {
    this.#readers.set(channel, { takesEvery: false, check: (payload) => checked(channel, schema, payload, handle) });
  }

  onEvery<S extends MessageSchema>(
    channel: DownChannel,
    schema: S,
    handle: (message: v.InferOutput<S>) => Promise<void>,
    refuse: (value: unknown, fault: Fault) => void,
  ): void {
    this.#readers.set(channel, { takesEvery: true, check: (payload) => checked(channel, schema, payload, handle, refuse) });
  }

  take(topic: string, payload: Uint8Array): void {
    const channel = DOWN_CHANNELS.find((each) => downTopic(this.#deviceId, each) === topic);
    if (channel === undefined) {
      this.#onRefused(undefined, new Fault("message.invalid", "read a message: its topic is not one of this device"));
      return;
    }
    try {
      this.#takeFrom(channel, payload);
    } catch (error) {
      this.#onRefused(channel, asFault(error, "message.invalid", `read a message on "${channel}"`));
    }
  }

  #takeFrom(channel: DownChannel, payload: Uint8Array): void {
    const reader = this.#readers.get(channel);
    if (reader === undefined) throw new Fault("message.invalid", `read a message on "${channel}": it has no handler`);
    if (reader.takesEvery) {
      void this.#run(channel, reader.check(payload));
      return;
    }
    if (this.#running >= INBOX_RUNNING_MAX)
      throw new Fault("message.invalid", `read a message on "${channel}": ${this.#running} others are still in progress`);
    const message = reader.check(payload);
    if (this.#seen.has(message.id)) return;
    this.#remember(message.id);
    void this.#handle(channel, message);
  }

  #remember(id: string): void {
    this.#seen.add(id);
    const [oldest] = this.#seen;
    if (this.#seen.size > SEEN_IDS_MAX && oldest !== undefined) this.#seen.delete(oldest);
  }

  async #handle(channel: DownChannel, message: Checked): Promise<void> {
    this.#running += 1;
    const done = await this.#run(channel, message);
    this.#running -= 1;
    if (!done) this.#seen.delete(message.id);
  }

  /** @returns whether the handler succeeded; its fault is reported. */
  async #run(channel: DownChannel, { run }: Checked): Promise<boolean> {
    try {
      await run();
      return true;
    } catch (error) {
      this.#onRefused(channel, asFault(error, "message.invalid", `handle a message on "${channel}"`));
      return false;
    }
  }
}

/** @throws Fault `message.invalid`. */
function checked<S extends MessageSchema>(
  channel: DownChannel,
  schema: S,
  payload: Uint8Array,
  handle: (message: v.InferOutput<S>) => void | Promise<void>,
  refuse: (value: unknown, fault: Fault) => void = () => undefined,
): Checked {
  const what = `the message on "${channel}"`;
  const value = parseJson(payload, MESSAGE_BYTES_MAX, what, { valuesMax: REQUEST_VALUES_MAX });
  try {
    const message = check(schema, value, what, "message.invalid");
    return { id: message.id, run: () => handle(message) };
  } catch (error) {
    if (error instanceof Fault) refuse(value, error);
    throw error;
  }
}
