// The installation of the release that was verified: one installer job at a time. [OTA-41]
import { asFault } from "../../hal/fault.ts";
import type { SlotName } from "../../hal/format/slots.ts";
import type { Event, Release } from "../../ota/commit/index.ts";
import { type ExpectedChunks, type InstallerJob, startJob, type WriteRequest } from "./job.ts";
import type { UpdatePorts } from "./ports.ts";
import type { PartPlan } from "./release-plan.ts";

interface Current {
  readonly job: InstallerJob;
  /** Resolves when the driver has the end of the job. */
  readonly reported: Promise<void>;
}

export class Installation {
  readonly #ports: Pick<UpdatePorts, "installer" | "clock">;
  readonly #post: (event: Event) => Promise<void>;
  #planned: { readonly digest: string; readonly parts: readonly PartPlan[] } | undefined;
  #current: Current | undefined;
  /** Resolves when every aborted installer has ended: two of them must not write one slot. */
  #ended: Promise<void> = Promise.resolve();

  /** @param post reports `written` or `failed` to the driver. Never rejects. */
  constructor(ports: Pick<UpdatePorts, "installer" | "clock">, post: (event: Event) => Promise<void>) {
    this.#ports = ports;
    this.#post = post;
  }

  /** Sets the verified parts from which the next job is made. */
  plan({ digest }: Release, parts: readonly PartPlan[]): void {
    this.#planned = { digest, parts };
  }

  /**
   * Starts the job for `release`. Does nothing where no plan was set since this program started:
   * manifest and indexes must be brought first then.
   */
  start({ digest }: Release, slot: SlotName): void {
    if (this.#planned?.digest !== digest || this.#current !== undefined) return;
    const { clock } = this.#ports;
    const job = startJob({ start: () => this.#startAlone(), clock, slot, parts: this.#planned.parts });
    this.#planned = undefined;
    this.#current = { job, reported: this.#reportEnd(job) };
  }

  /** The chunks that must come next; undefined while no installer is at work. */
  expects(): ExpectedChunks | undefined {
    return this.#current?.job.expects();
  }

  /**
   * Resolves when the installer can take chunks, or when it has ended and the driver has the end.
   */
  async ready(): Promise<void> {
    await this.#current?.job.ready;
    await this.#endIfOver();
  }

  /** [OTA-41] As {@link InstallerJob.write}. */
  async write(range: WriteRequest): Promise<void> {
    await this.#current?.job.write(range);
    await this.#endIfOver();
  }

  /** Resolves when the installer is gone. The end of an aborted job is not reported. */
  async abort(): Promise<void> {
    const aborted = this.#current;
    this.#current = undefined;
    this.#planned = undefined;
    if (aborted === undefined) return;
    const before = this.#ended;
    this.#ended = aborted.job.abort().then(() => before);
    await this.#ended;
  }

  async #endIfOver(): Promise<void> {
    if (this.#current?.job.isOver() === true) await this.#current.reported;
  }

  async #startAlone(): ReturnType<UpdatePorts["installer"]> {
    await this.#ended;
    return await this.#ports.installer();
  }

  async #reportEnd(job: InstallerJob): Promise<void> {
    const event = await job.done.then(
      (): Event => ({ kind: "written" }),
      (error: unknown): Event => {
        const { code, message } = asFault(error, "process.failed", "write a slot");
        return { kind: "failed", code, message };
      },
    );
    if (this.#current?.job !== job) return; // aborted: the caller of abort() reports why
    await this.#post(event);
    this.#current = undefined;
  }
}
