// The uploader of the audit log: it sends records and checkpoints to the hub, and brings the hub's
// cosignatures back to the warden. [AUD-9] It is trusted with nothing: the warden signs the
// checkpoints, the hub verifies them, and the warden verifies the hub's answer, so a change in
// between does not go unnoticed.
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { AUDIT_READ_RECORDS_MAX } from "../../warden/protocol/format.ts";
import type { AuditAnswer, AuditUpload } from "../tunnel/format.ts";

/** The hub's answers to deliveries; the others of the channel are not for the uploader. */
export type UploadAnswer = Exclude<AuditAnswer["body"], { readonly answer: "escrowed" }>;

/** How long the hub may take to answer a delivery before it is made again. */
export const ANSWER_WAIT_MS_MAX = 30_000;
/**
 * While connected, how often to check for records that nobody announced, such as the warden's own.
 */
const CHECK_INTERVAL_MS = 5_000;
/** The wait after a refusal or a timeout: doubled from the first to the second. */
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 300_000;

export interface AuditUploaderPorts {
  readonly warden: Pick<WardenClient, "call">;
  /** Publishes one delivery. Resolves when the broker has it. */
  readonly deliver: (body: AuditUpload["body"]) => Promise<void>;
  readonly clock: Clock;
  /** In [0, 1). Spreads the retries of a fleet whose hub was away. */
  readonly random: () => number;
}

export interface AuditUploader {
  /** The tunnel is up: uploads until {@link AuditUploader.disconnected}. */
  connected(): void;
  disconnected(): void;
  /** There may be new records: checks now. */
  poke(): void;
  /** Takes the hub's answer, which the tunnel has validated. */
  answer(body: UploadAnswer): void;
  /** Why nothing is uploaded, until an upload succeeds; for the status. */
  trouble(): Fault | undefined;
  stop(): Promise<void>;
}

/** One delivery at a time, so that only its records are in memory. */
export function createAuditUploader(ports: AuditUploaderPorts): AuditUploader {
  return new WitnessUploader(ports);
}

class WitnessUploader implements AuditUploader {
  readonly #ports: AuditUploaderPorts;
  #session: UploadSession | undefined;
  /**
   * Records in a delivery. Halved when one does not arrive, because a broker may end the connection
   * without a word over a message that is too large for it; one more when one that is full arrives.
   * [STA-15]
   */
  readonly #batch = { recordsMax: AUDIT_READ_RECORDS_MAX };
  /** Outlives the session: after a conflict with the hub, a lost connection does not resolve it. */
  #fault: Fault | undefined;

  constructor(ports: AuditUploaderPorts) {
    this.#ports = ports;
  }

  connected(): void {
    void this.stop();
    this.#session = new UploadSession(this.#ports, this.#batch, (fault) => {
      this.#fault = fault;
    });
  }

  disconnected(): void {
    void this.stop();
  }

  poke(): void {
    this.#session?.poke();
  }

  answer(body: UploadAnswer): void {
    this.#session?.answer(body);
  }

  trouble(): Fault | undefined {
    return this.#fault;
  }

  stop(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    return session?.end() ?? Promise.resolve();
  }
}

/** The uploads over one connection. Begins when it is made. */
class UploadSession {
  readonly #ports: AuditUploaderPorts;
  readonly #batch: { recordsMax: number };
  readonly #onOutcome: (fault: Fault | undefined) => void;
  readonly #ended = new AbortController();
  readonly #done: Promise<void>;
  /**
   * Aborted when there is reason to check; a new one for each check, so that no poke is lost during
   * a delivery.
   */
  #poked = new AbortController();
  /**
   * Size of the hub's log; undefined until the warden's witnessed size is read or the hub reports
   * its size.
   */
  #hubSize: number | undefined;
  #onAnswer: ((body: UploadAnswer) => void) | undefined;

  /** @param onOutcome is called after each upload, with its fault if it failed. */
  constructor(ports: AuditUploaderPorts, batch: { recordsMax: number }, onOutcome: (fault: Fault | undefined) => void) {
    this.#ports = ports;
    this.#batch = batch;
    this.#onOutcome = onOutcome;
    this.#done = this.#run();
  }

  poke(): void {
    this.#poked.abort();
  }

  answer(body: UploadAnswer): void {
    this.#onAnswer?.(body);
  }

  end(): Promise<void> {
    this.#ended.abort();
    this.#poked.abort();
    return this.#done;
  }

  /** Never rejects: a fault is reported and followed by a wait. */
  async #run(): Promise<void> {
    const { clock, random } = this.#ports;
    const { signal } = this.#ended;
    let failures = 0;
    while (!signal.aborted) {
      this.#poked = new AbortController();
      try {
        const more = await this.#deliverOnce();
        failures = 0;
        this.#onOutcome(undefined);
        if (!more) await clock.sleep(CHECK_INTERVAL_MS, this.#poked.signal);
      } catch (error) {
        // The end of the connection is no fault of the upload.
        if (signal.aborted) return;
        const fault = asFault(error, "tunnel.closed", "deliver audit records");
        // A tunnel that is just up may not take deliveries yet. Its own status says so.
        if (fault.code !== "tunnel.closed") this.#onOutcome(fault);
        failures += 1;
        const bound = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures - 1, 16));
        await clock.sleep(bound * (0.5 + random() / 2), signal);
      }
    }
  }

  /**
   * Delivers the next records, as many as one line of the warden holds, with their checkpoint.
   * @returns whether there may be more to deliver at once.
   * @throws Fault `witness.conflict` when the hub has a longer log than this device or refuses this
   *   one; `tunnel.timeout` when it does not answer.
   */
  async #deliverOnce(): Promise<boolean> {
    const { warden } = this.#ports;
    const head = (await warden.call("status.read", {})).audit;
    const from = this.#hubSize ?? head.witnessedSize;
    if (from > head.size)
      throw new Fault(
        "witness.conflict",
        `the hub has ${from} audit records of this device, but its log has ${head.size}: the log was rolled back or wiped, and the hub's operator must decide`,
      );
    if (from === head.size && head.witnessedSize === head.size) return false;
    const count = Math.min(this.#batch.recordsMax, head.size - from);
    const { records } = count === 0 ? { records: [] } : await warden.call("audit.read", { from, count });
    const { oldSize, checkpoint, proof } = await warden.call("audit.checkpoint", { oldSize: from, size: from + records.length });
    const answer = await this.#ask({ oldSize, checkpoint, proof, records });
    switch (answer.answer) {
      case "cosigned": {
        const { witnessedSize } = await warden.call("audit.cosigned", { checkpoint: answer.checkpoint });
        this.#hubSize = witnessedSize;
        if (records.length === this.#batch.recordsMax)
          this.#batch.recordsMax = Math.min(AUDIT_READ_RECORDS_MAX, this.#batch.recordsMax + 1);
        return witnessedSize < head.size;
      }
      case "conflict":
        if (answer.size === from)
          throw new Fault("witness.conflict", `the hub refuses a delivery from ${from} and asks for the same one`);
        this.#hubSize = answer.size;
        return true;
      case "refused":
        throw new Fault("witness.conflict", `the hub does not witness this log: ${answer.reason}`);
    }
  }

  /** Delivers and waits for the hub's answer. */
  async #ask(body: AuditUpload["body"]): Promise<UploadAnswer> {
    const { deliver, clock } = this.#ports;
    const { signal } = this.#ended;
    // A session that ended during the calls to the warden must not deliver on the next connection.
    if (signal.aborted) throw new Fault("tunnel.closed", "deliver audit records: the connection has ended");
    const { promise, resolve } = Promise.withResolvers<UploadAnswer | undefined>();
    const outcome = { delivered: false };
    const settled = new AbortController();
    this.#onAnswer = resolve;
    signal.addEventListener("abort", () => resolve(undefined), { signal: settled.signal });
    try {
      await deliver(body);
      outcome.delivered = true;
      void clock.sleep(ANSWER_WAIT_MS_MAX, settled.signal).then(() => resolve(undefined));
      const answer = await promise;
      if (answer === undefined)
        throw new Fault("tunnel.timeout", `the hub did not answer an audit delivery within ${ANSWER_WAIT_MS_MAX / 1000} s`);
      return answer;
    } finally {
      if (!outcome.delivered) this.#batch.recordsMax = Math.max(1, Math.floor(this.#batch.recordsMax / 2));
      this.#onAnswer = undefined;
      settled.abort();
    }
  }
}
