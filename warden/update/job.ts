// One installer job: starts the installer, passes it what to write, checks its answers, and kills
// it when it hangs or is aborted. [OTA-41]
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { ChildProgram, Clock } from "../../hal/ports.ts";
import type { SlotName, SlotPart } from "../../hal/format/slots.ts";
import { INSTALL_LINE_BYTES_MAX, type InstallEvent, installEventSchema, type InstallJob } from "../install/format.ts";
import { SILENCE_MS_MAX } from "../install/index.ts";
import type { UpdateStatus } from "./format.ts";
import type { PartPlan } from "./release-plan.ts";

export interface JobOptions {
  readonly start: () => Promise<ChildProgram>;
  readonly clock: Pick<Clock, "sleep">;
  readonly slot: SlotName;
  readonly parts: readonly PartPlan[];
}

export type ExpectedChunks = NonNullable<UpdateStatus["expects"]>;

/** Chunks `from` up to but not including `to` of a part. */
export interface WriteRequest {
  readonly part: SlotPart;
  readonly from: number;
  readonly to: number;
}

export interface InstallerJob {
  /** Resolves when the installer has all indexes, or when the job is over. Never rejects. */
  readonly ready: Promise<void>;
  /**
   * Resolves when every part is proven and the installer is gone.
   * @throws Fault: the slot must not be tried.
   */
  readonly done: Promise<void>;
  expects(): ExpectedChunks;
  isOver(): boolean;
  /**
   * [OTA-65] Writes `range` if it is expected now; anything else changes nothing. Resolves when the
   * chunks are in the slot, when they are not expected, or when the job is over.
   */
  write(range: WriteRequest): Promise<void>;
  /** Resolves when the installer is gone. */
  abort(): Promise<void>;
}

export function startJob(options: JobOptions): InstallerJob {
  return new Job(options);
}

class Job implements InstallerJob {
  readonly ready: Promise<void>;
  readonly done: Promise<void>;
  readonly #options: JobOptions;
  readonly #over = new AbortController();
  readonly #whenReady = Promise.withResolvers<void>();
  #child: ChildProgram | undefined;
  #expected: ExpectedChunks;
  #writing: { readonly range: WriteRequest; readonly written: PromiseWithResolvers<void> } | undefined;
  /** Aborted by each line of the installer. */
  #heard = new AbortController();
  #isReady = false;
  #isDone = false;

  constructor(options: JobOptions) {
    this.#options = options;
    this.#expected = firstOf(options.parts[0]);
    this.ready = this.#whenReady.promise;
    this.done = this.#run();
    this.done.catch(() => undefined); // the owner of the job handles the fault through `done`
  }

  expects(): ExpectedChunks {
    return this.#expected;
  }

  isOver(): boolean {
    return this.#over.signal.aborted;
  }

  async write(range: WriteRequest): Promise<void> {
    if (this.#writing !== undefined) {
      if (isSame(this.#writing.range, range)) await this.#writing.written.promise;
      return;
    }
    const { part, from, chunks } = this.#expected;
    const isExpected = range.part === part && range.from === from && range.to > from && range.to <= chunks;
    if (!isExpected || this.isOver()) return;
    const written = Promise.withResolvers<void>();
    this.#writing = { range, written };
    // an installer that is gone ends the job, and this wait
    await this.#send({ do: "write", ...range }).catch(() => undefined);
    await written.promise;
  }

  async abort(): Promise<void> {
    this.#over.abort();
    await this.#child?.kill();
    await this.done.catch(() => undefined);
  }

  async #run(): Promise<void> {
    try {
      await this.#listen();
    } catch (error) {
      throw this.isOver() ? aborted() : asFault(error, "process.failed", `write slot "${this.#options.slot}"`);
    } finally {
      this.#over.abort();
      await this.#child?.kill();
      this.#whenReady.resolve();
      this.#writing?.written.resolve();
    }
  }

  async #listen(): Promise<void> {
    const { start, slot, parts } = this.#options;
    const child = await start();
    this.#child = child;
    void this.#killIfSilent(child);
    if (this.isOver()) throw aborted();
    await this.#send({ do: "install", v: 1, slot, parts: parts.map(({ part }) => part) });
    for await (const line of child.lines) {
      this.#heard.abort();
      this.#take(decodeEvent(line));
    }
    const ending = await child.ended;
    if (this.isOver()) throw aborted();
    if (!this.#isDone || ending !== "code 0")
      throw new Fault("process.failed", `write slot "${slot}": the installer ended (${ending}) before its job was done`);
  }

  /**
   * Kills an installer that stays silent while it owes an answer. While chunks are expected it
   * waits for the agent.
   */
  async #killIfSilent(child: ChildProgram): Promise<void> {
    while (!this.isOver()) {
      this.#heard = new AbortController();
      await this.#options.clock.sleep(SILENCE_MS_MAX, AbortSignal.any([this.#heard.signal, this.#over.signal]));
      const owesAnswer = !this.#isReady || this.#writing !== undefined || this.#expected.from === this.#expected.chunks;
      if (!this.#heard.signal.aborted && owesAnswer) await child.kill();
    }
  }

  #take(event: InstallEvent): void {
    switch (event.said) {
      case "ready":
        this.#isReady = true;
        return this.#whenReady.resolve();
      case "progress":
        return;
      case "written":
        if (this.#writing === undefined || !isSame(this.#writing.range, event)) throw outOfTurn(event);
        this.#expected = { ...this.#expected, from: event.to };
        this.#writing.written.resolve();
        this.#writing = undefined;
        return;
      case "proven": {
        if (event.part !== this.#expected.part || !this.#isPartWritten()) throw outOfTurn(event);
        const { parts } = this.#options;
        const next = parts[parts.findIndex(({ part }) => part.part === event.part) + 1];
        if (next !== undefined) this.#expected = firstOf(next);
        return;
      }
      case "done":
        if (this.#expected.part !== this.#options.parts.at(-1)?.part.part || !this.#isPartWritten()) throw outOfTurn(event);
        this.#isDone = true;
        return;
      case "fault":
        throw new Fault(event.code, event.message);
    }
  }

  #isPartWritten(): boolean {
    return this.#expected.from === this.#expected.chunks;
  }

  async #send(job: InstallJob): Promise<void> {
    await this.#child?.tell(JSON.stringify(job));
  }
}

function firstOf(plan: PartPlan | undefined): ExpectedChunks {
  if (plan === undefined) throw new Fault("assert.broken", "a manifest has at least one part");
  return { part: plan.part.part, from: 0, chunks: plan.chunks };
}

function isSame(a: WriteRequest, b: WriteRequest): boolean {
  return a.part === b.part && a.from === b.from && a.to === b.to;
}

function decodeEvent(line: string): InstallEvent {
  return check(
    installEventSchema,
    parseJson(line, INSTALL_LINE_BYTES_MAX, "installer's line"),
    "installer's line",
    "protocol.invalid",
  );
}

function outOfTurn(event: InstallEvent): Fault {
  return new Fault("protocol.invalid", `listen to the installer: "${event.said}" came out of turn`);
}

function aborted(): Fault {
  return new Fault("update.aborted", "write a slot: the job was aborted");
}
