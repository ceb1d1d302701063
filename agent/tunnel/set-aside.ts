// The messages that the hub will never take, durable and apart from the spool: what is behind them
// goes on, and an operator can still read them. [TUN-81]
import * as v from "valibot";
import { listSchema } from "../../hal/format/fields.ts";
import type { RecordFormat } from "../../hal/format/record.ts";
import { clip } from "../../hal/format/text.ts";
import { asFault, Fault } from "../../hal/fault.ts";
import { createMutex } from "../../hal/mutex.ts";
import { createTokenBucket, type TokenBucket } from "../../hal/rate-limit.ts";
import { readRecord, writeRecord } from "../../hal/record.ts";
import { MESSAGE_BYTES_MAX, UP_CHANNELS } from "./format.ts";
import { SET_ASIDE_BYTES_MAX, SET_ASIDE_MAX, SET_ASIDE_PERIOD_MS } from "./limits.ts";
import type { TunnelOptions } from "./options.ts";
import type { Spooled } from "./spool/index.ts";

const NAME = "tunnel-set-aside.json";
/** Why a message is in the record, UTF-16 code units. */
const WHY_CHARACTERS_MAX = 512;

const entrySchema = v.strictObject({
  at: v.pipe(v.string(), v.isoTimestamp()),
  channel: v.picklist(UP_CHANNELS),
  why: v.pipe(v.string(), v.maxLength(WHY_CHARACTERS_MAX)),
  /** As it was sent. */
  payload: v.pipe(v.string(), v.maxLength((MESSAGE_BYTES_MAX * 4) / 3 + 4), v.base64("expected base64")),
});
const recordSchema = v.strictObject({ v: v.literal(1), messages: listSchema(entrySchema, SET_ASIDE_MAX) });

const SET_ASIDE_RECORD: RecordFormat<v.InferOutput<typeof recordSchema>> = {
  what: "the messages set aside",
  version: 1,
  readable: 1,
  bytesMax: 1_048_576,
  schema: recordSchema,
};

export interface SetAside {
  /**
   * Keeps a message, and reports it. The oldest give way beyond {@link SET_ASIDE_MAX} messages and
   * {@link SET_ASIDE_BYTES_MAX}. Beyond its pace nothing is kept or reported. Never rejects.
   */
  keep(message: Pick<Spooled, "channel" | "payload">, fault: Fault): Promise<void>;
  /** Counts what an earlier run has left. A record that cannot be read counts as none. */
  load(): Promise<void>;
  /** How many are kept. */
  count(): number;
}

export function createSetAside(options: Pick<TunnelOptions, "files" | "clock" | "onEvent">): SetAside {
  return new SetAsideRecord(options);
}

class SetAsideRecord implements SetAside {
  readonly #options: Pick<TunnelOptions, "files" | "clock" | "onEvent">;
  readonly #pace: TokenBucket;
  readonly #exclusively = createMutex();
  #count = 0;

  constructor(options: Pick<TunnelOptions, "files" | "clock" | "onEvent">) {
    this.#options = options;
    this.#pace = createTokenBucket(options.clock, SET_ASIDE_MAX, SET_ASIDE_PERIOD_MS);
  }

  async keep({ channel, payload }: Pick<Spooled, "channel" | "payload">, fault: Fault): Promise<void> {
    const { clock, onEvent } = this.#options;
    if (!this.#pace.take()) return;
    onEvent({ kind: "set-aside", channel, bytes: payload.byteLength, fault });
    const at = new Date(clock.nowMs()).toISOString();
    const why = clip(fault.message, WHY_CHARACTERS_MAX);
    const entry = { at, channel, why, payload: Buffer.from(payload).toString("base64") };
    try {
      await this.#exclusively(() => this.#write(entry));
    } catch (error) {
      onEvent({ kind: "memory-fault", fault: asFault(error, "file.write-failed", "keep a message that was set aside") });
    }
  }

  async load(): Promise<void> {
    this.#count = await readRecord(this.#options.files, NAME, SET_ASIDE_RECORD).then(
      (record) => record?.messages.length ?? 0,
      () => 0,
    );
  }

  count(): number {
    return this.#count;
  }

  async #write(entry: v.InferOutput<typeof entrySchema>): Promise<void> {
    const { files } = this.#options;
    const before = (await readRecord(files, NAME, SET_ASIDE_RECORD).catch(replaceable))?.messages ?? [];
    const messages = [...before, entry].slice(-SET_ASIDE_MAX);
    const bytesOf = (): number => messages.reduce((sum, { payload }) => sum + (payload.length * 3) / 4, 0);
    while (messages.length > 1 && bytesOf() > SET_ASIDE_BYTES_MAX) messages.shift();
    await writeRecord(files, NAME, SET_ASIDE_RECORD, { v: 1, messages });
    this.#count = messages.length;
  }
}

/** A damaged record begins anew. @throws what is no damage. */
function replaceable(error: unknown): undefined {
  if (!(error instanceof Fault) || error.code.startsWith("file.") || error.code === "record.newer") throw error;
}
