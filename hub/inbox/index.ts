// What devices send, on its way into the store: validated, de-duplicated, durable before the broker acknowledges it. [TUN-8]
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
import { canonicalJson, type JsonValue, parseJson } from "../../hal/format/json.ts";
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
  /** False when this id had come before. */
  readonly fresh: boolean;
}

export interface HubInbox {
  /**
   * Takes one message. `done` is called when it is on the disk (then the broker may acknowledge), or with a fault when it could not be stored (then it must
   * not). What is no message of ours is dropped, noted and acknowledged: sending it again would not mend it.
   */
  accept(deviceId: DeviceId, channel: UpChannel, payload: Uint8Array, done: (fault?: Fault) => void): void;
  /** Commits what waits. */
  flush(): void;
}

export interface InboxOptions {
  readonly store: Store;
  readonly witness: Witness;
  readonly journal: JournalWriter;
  /** After the commit. */
  readonly onReceived: (received: Received) => void;
  /** After the commit: the witness's answer, for `down/audit`. */
  readonly onAnswer: (deviceId: DeviceId, answer: WitnessAnswer) => void;
}

interface Waiting {
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

export function openInbox(options: InboxOptions): HubInbox {
  const { journal } = options;
  let waiting: Waiting[] = [];

  /** One commit, one fsync, for all that came in one turn of the event loop. */
  const flush = (): void => {
    const batch = waiting;
    waiting = [];
    if (batch.length === 0) return;
    const stored = commit(options, batch);
    for (const { done } of batch) done(stored instanceof Fault ? stored : undefined);
    if (!(stored instanceof Fault)) for (const tell of stored) tell();
  };

  return {
    flush,
    accept: (deviceId, channel, payload, done) => {
      let message: Message;
      try {
        message = read(channel, payload);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        journal("message.refused", deviceId, { channel, reason: error.message });
        done();
        return;
      }
      waiting.push({ deviceId, message, done });
      if (waiting.length === 1) setImmediate(flush);
      if (waiting.length >= COMMIT_MESSAGES_MAX) flush();
    },
  };
}

/** All of them or none. @returns what to tell now that they are durable, or why they are not. */
function commit(options: InboxOptions, batch: readonly Waiting[]): readonly (() => void)[] | Fault {
  try {
    return options.store.transaction(() => batch.map((each) => storeOne(options, each)));
  } catch (error) {
    return asFault(error, "hub.store-failed", "store messages");
  }
}

/** @returns what to tell once it is durable. */
function storeOne(options: InboxOptions, { deviceId, message }: Waiting): () => void {
  const { store, witness, onReceived, onAnswer } = options;
  const { channel, id, at } = message;
  const fresh = store.messages.add(deviceId, { id, channel, at, receivedAtMs: Date.now(), body: kept(message) });
  if (fresh && message.channel !== "audit" && "kind" in message.body) readReport(options, deviceId, channel, message.body);
  const answer = message.channel === "audit" ? witness.receive(deviceId, message.delivery, !fresh) : undefined;
  return () => {
    onReceived({ deviceId, channel, id, at, fresh });
    if (answer !== undefined) onAnswer(deviceId, answer);
  };
}

/** Telemetry belongs to whoever subscribes to it, audit records to the witness: of these only the id is kept. */
function kept(message: Message): string | undefined {
  return message.channel === "audit" || message.channel === "telemetry" ? undefined : JSON.stringify(message.body);
}

/** @throws Fault `json.*`, `schema.invalid`. */
function read(channel: UpChannel, payload: Uint8Array): Message {
  const value = parseJson(payload, MESSAGE_BYTES_MAX, `message on up/${channel}`);
  if (channel === "audit") {
    const { id, at, body } = checked(auditUploadSchema, value);
    return { channel, id, at, delivery: body };
  }
  const { id, at, body } = checked(channel === "status" ? statusMessageSchema : reportMessageSchema, value);
  return { channel, id, at, body };

  function checked<const S extends GenericSchema>(schema: S, candidate: unknown) {
    return check(schema, candidate, `message on up/${channel}`);
  }
}

/** A message of the hub. [TUN-8] */
export function encodeMessage(id: string, body: JsonValue): string {
  return canonicalJson({ v: 1, id, at: new Date().toISOString(), body });
}
