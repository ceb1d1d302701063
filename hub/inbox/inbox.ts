// The inbox: the messages of devices on their way into the store. They are validated, deduplicated
// and durable before the broker acknowledges them. [TUN-8]
import type { GenericSchema } from "valibot";
import {
  auditUploadSchema,
  MESSAGE_BYTES_MAX,
  type ReportMessage,
  reportMessageSchema,
  type StatusMessage,
  statusMessageSchema,
  type UpChannel,
} from "../../agent/tunnel/format.ts";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { JournalWriter } from "../journal.ts";
import { COMMIT_MESSAGES_MAX } from "../limits.ts";
import type { Store } from "../store/index.ts";
import type { WitnessAnswer, Witness } from "../witness/index.ts";
import { readReport } from "./reports.ts";

export interface Received {
  readonly deviceId: DeviceId;
  readonly channel: UpChannel;
  readonly id: string;
  readonly at: string;
  /** False when a message with this id was received before. */
  readonly fresh: boolean;
}

export interface HubInbox {
  /**
   * Takes one message. Calls `done` when it is on the disk, and the broker may acknowledge it; or
   * with a fault when it could not be stored, and the broker must not. An invalid message is
   * dropped, noted and acknowledged: sending it again would not help.
   */
  accept(deviceId: DeviceId, channel: UpChannel, payload: Uint8Array, done: (fault?: Fault) => void): void;
  /** Commits the messages that wait. */
  flush(): void;
}

export interface InboxOptions {
  readonly store: Store;
  readonly witness: Witness;
  readonly journal: JournalWriter;
  /** Called after the commit. */
  readonly onReceived: (received: Received) => void;
  /** Called after the commit with the witness's answer, for `down/audit`. */
  readonly onAnswer: (deviceId: DeviceId, answer: WitnessAnswer) => void;
}

interface AcceptedMessage {
  readonly deviceId: DeviceId;
  readonly message: Message;
  readonly done: (fault?: Fault) => void;
}

type Message =
  | { readonly channel: "audit"; readonly id: string; readonly at: string; readonly delivery: Parameters<Witness["receive"]>[1] }
  | {
      readonly channel: Exclude<UpChannel, "audit">;
      readonly id: string;
      readonly at: string;
      readonly body: StatusMessage["body"] | ReportMessage["body"];
    };

export function createInbox(options: InboxOptions): HubInbox {
  const { journal } = options;
  let accepted: AcceptedMessage[] = [];

  /** Makes one commit, with one fsync, for all messages of one turn of the event loop. */
  const flush = (): void => {
    const batch = accepted;
    accepted = [];
    if (batch.length === 0) return;
    const stored = commit(options, batch);
    for (const { done } of batch) done(stored instanceof Fault ? stored : undefined);
    if (!(stored instanceof Fault)) for (const notify of stored) notify();
  };

  return {
    flush,
    accept: (deviceId, channel, payload, done) => {
      let message: Message;
      try {
        message = parseMessage(channel, payload);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        journal("message.refused", deviceId, { channel, reason: error.message });
        done();
        return;
      }
      accepted.push({ deviceId, message, done });
      if (accepted.length === 1) setImmediate(flush);
      if (accepted.length >= COMMIT_MESSAGES_MAX) flush();
    },
  };
}

/** Stores all messages or none. @returns the notifications to send now, or why it failed. */
function commit(options: InboxOptions, batch: readonly AcceptedMessage[]): readonly (() => void)[] | Fault {
  try {
    return options.store.transaction(() => batch.map((each) => storeOne(options, each)));
  } catch (error) {
    return asFault(error, "hub.store-failed", "store messages");
  }
}

/** @returns the notification to send once the message is durable. */
function storeOne(options: InboxOptions, { deviceId, message }: AcceptedMessage): () => void {
  const { store, witness, onReceived, onAnswer } = options;
  const { channel, id, at } = message;
  const fresh = store.messages.add(deviceId, { id, channel, at, receivedAtMs: Date.now(), body: storedBody(message) });
  if (fresh && message.channel !== "audit" && "kind" in message.body) readReport(options, deviceId, channel, message.body);
  const answer = message.channel === "audit" ? witness.receive(deviceId, message.delivery, !fresh) : undefined;
  return () => {
    onReceived({ deviceId, channel, id, at, fresh });
    if (answer !== undefined) onAnswer(deviceId, answer);
  };
}

/**
 * Telemetry goes to its subscribers and audit records to the witness: only their ids are stored.
 */
function storedBody(message: Message): string | undefined {
  return message.channel === "audit" || message.channel === "telemetry" ? undefined : JSON.stringify(message.body);
}

/** @throws Fault `json.*`, `schema.invalid`. */
function parseMessage(channel: UpChannel, payload: Uint8Array): Message {
  const what = `message on up/${channel}`;
  const value = parseJson(payload, MESSAGE_BYTES_MAX, what);
  const checked = <const S extends GenericSchema>(schema: S) => check(schema, value, what);
  if (channel === "audit") {
    const { id, at, body } = checked(auditUploadSchema);
    return { channel, id, at, delivery: body };
  }
  const { id, at, body } = checked(channel === "status" ? statusMessageSchema : reportMessageSchema);
  return { channel, id, at, body };
}
