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
import { parseJson, REPORT_VALUES_MAX, REQUEST_VALUES_MAX } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { JournalWriter } from "../journal.ts";
import { COMMIT_MESSAGES_MAX } from "../limits.ts";
import { type Change, type JournalNote, retryOnConflict, type Store } from "../store/index.ts";
import type { WitnessAnswer, Witness } from "../witness/index.ts";
import { checkProtection, readReport } from "./reports.ts";

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
   * @returns false for an invalid message.
   */
  accept(deviceId: DeviceId, channel: UpChannel, payload: Uint8Array, done: (fault?: Fault) => void): boolean;
  /** Resolves when no message waits any more. */
  flush(): Promise<void>;
}

export interface InboxOptions {
  readonly store: Store;
  readonly witness: Witness;
  readonly journal: JournalWriter;
  /** Called after the commit. */
  readonly onReceived: (received: Received) => void;
  /** Called after the commit with the witness's answer, for `down/audit`. [AUD-9] [TUN-60] */
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
  return new Inbox(options);
}

/** What one commit stores, and what follows from it. */
interface Prepared {
  /** How many messages of the queue are in it. */
  readonly count: number;
  readonly changes: readonly Change[];
  /** Entries of the journal about these messages. */
  readonly notes: readonly JournalNote[];
  readonly notify: readonly (() => void)[];
}

class Inbox implements HubInbox {
  readonly #options: InboxOptions;
  /** Messages of one device are stored in their order; those of different devices side by side. */
  readonly #queues = new Map<DeviceId, AcceptedMessage[]>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  accept(deviceId: DeviceId, channel: UpChannel, payload: Uint8Array, done: (fault?: Fault) => void): boolean {
    let message: Message;
    try {
      message = parseMessage(channel, payload);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#options.journal("message.refused", deviceId, { channel, reason: error.message });
      done();
      return false;
    }
    const queue = this.#queues.get(deviceId);
    if (queue !== undefined) {
      queue.push({ deviceId, message, done });
      return true;
    }
    this.#queues.set(deviceId, [{ deviceId, message, done }]);
    const running = this.#run(deviceId);
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
    return true;
  }

  async flush(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #run(deviceId: DeviceId): Promise<void> {
    const queue = this.#queues.get(deviceId) ?? [];
    // What one turn of the event loop brings is one commit.
    await new Promise((resolve) => setImmediate(resolve));
    while (queue.length > 0) await this.#storeNext(deviceId, queue);
    this.#queues.delete(deviceId);
  }

  /**
   * Commits the first messages of the queue, all or none. When that fails, they go one by one: what
   * can be stored is stored and acknowledged before the connection ends over what cannot. Two that
   * fail mean that nothing can be stored. [STA-15]
   */
  async #storeNext(deviceId: DeviceId, queue: AcceptedMessage[]): Promise<void> {
    let left = Math.min(queue.length, COMMIT_MESSAGES_MAX);
    const isOnly = left === 1;
    const fault = await this.#store(deviceId, queue, COMMIT_MESSAGES_MAX);
    if (fault === undefined) return;
    const failed: { readonly message: AcceptedMessage; readonly fault: Fault }[] = [];
    for (; left > 0 && failed.length < 2; left--) {
      const alone = isOnly ? fault : await this.#store(deviceId, queue, 1);
      const message = alone === undefined ? undefined : queue.shift();
      if (alone !== undefined && message !== undefined) failed.push({ message, fault: alone });
    }
    for (const each of failed) each.message.done(each.fault);
    for (const { done } of queue.splice(0, left)) done(fault);
  }

  /** @returns why the first messages of the queue are still there. */
  async #store(deviceId: DeviceId, queue: AcceptedMessage[], atOnceMax: number): Promise<Fault | undefined> {
    try {
      // Two answers to one question conflict within a commit: then one message is stored at a time.
      let countMax = atOnceMax;
      const { count, notify } = await retryOnConflict(async () => {
        const prepared = await this.#prepare(deviceId, queue.slice(0, countMax));
        countMax = 1;
        const { store } = this.#options;
        await store.commit(...prepared.changes, store.journal.noted(prepared.notes));
        return prepared;
      });
      for (const { done } of queue.splice(0, count)) done();
      for (const each of notify) each();
      return undefined;
    } catch (error) {
      return asFault(error, "hub.store-failed", "store messages");
    }
  }

  async #prepare(deviceId: DeviceId, batch: readonly AcceptedMessage[]): Promise<Prepared> {
    const { store, witness, onReceived, onAnswer } = this.#options;
    const seen = new Set(
      await store.messages.known(
        deviceId,
        batch.map(({ message }) => message.id),
      ),
    );
    const changes: Change[] = [];
    const notify: (() => void)[] = [];
    const notes: JournalNote[] = [];
    const journal: JournalWriter = (event, device, detail = {}) =>
      void notes.push({ event, deviceId: device, detail, atMs: Date.now() });
    for (const [index, { message }] of batch.entries()) {
      const { channel, id, at } = message;
      const fresh = !seen.has(id);
      seen.add(id);
      if (fresh)
        changes.push(store.messages.add(deviceId, { id, channel, at, receivedAtMs: Date.now(), body: storedBody(message) }));
      if (message.channel === "audit") {
        const { answer, change } = await witness.receive(deviceId, message.delivery, !fresh, journal);
        notify.push(() => onAnswer(deviceId, answer));
        if (change !== undefined) changes.push(change);
        notify.push(() => onReceived({ deviceId, channel, id, at, fresh }));
        // The next delivery is compared with the log as this one leaves it.
        if (change !== undefined) return { count: index + 1, changes, notes, notify };
        continue;
      }
      if (fresh && !("kind" in message.body)) await checkProtection(store, journal, deviceId, message.body.protection);
      if (fresh && "kind" in message.body) {
        const report = await readReport(store, journal, deviceId, message.channel, message.body);
        changes.push(...report.changes);
        const { escrowed } = report;
        if (escrowed !== undefined) notify.push(() => onAnswer(deviceId, witness.vouch(escrowed.note, escrowed.auditKey)));
      }
      notify.push(() => onReceived({ deviceId, channel, id, at, fresh }));
    }
    return { count: batch.length, changes, notes, notify };
  }
}

/**
 * Telemetry goes to its subscribers, audit records to the witness, and what is escrowed to a place
 * of its own: only their ids are stored.
 */
function storedBody(message: Message): string | undefined {
  if (message.channel === "audit" || message.channel === "telemetry") return undefined;
  return "kind" in message.body && message.body.kind === "tpm.escrow" ? undefined : JSON.stringify(message.body);
}

/** @throws Fault `json.*`, `schema.invalid`. */
export function parseMessage(channel: UpChannel, payload: Uint8Array): Message {
  const what = `message on up/${channel}`;
  const valuesMax = channel === "audit" || channel === "status" ? REQUEST_VALUES_MAX : REPORT_VALUES_MAX;
  const value = parseJson(payload, MESSAGE_BYTES_MAX, what, { valuesMax });
  const checked = <const S extends GenericSchema>(schema: S) => check(schema, value, what);
  if (channel === "audit") {
    const { id, at, body } = checked(auditUploadSchema);
    return { channel, id, at, delivery: body };
  }
  const { id, at, body } = checked(channel === "status" ? statusMessageSchema : reportMessageSchema);
  return { channel, id, at, body };
}
