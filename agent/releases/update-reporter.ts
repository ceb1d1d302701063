// The reporter of updates to the hub: each change of phase once, as the warden tells it. The first
// report also tells what the warden did before this program started. [OTA-35]
import { aborted } from "../../hal/aborted.ts";
import { asFault, type Fault } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { Clock } from "../../hal/ports.ts";
import { isUpdateActive } from "../../ota/commit/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { UpdateStatus } from "../../warden/update/format.ts";
import type { UpdateReport } from "../tunnel/format.ts";
import type { Tunnel } from "../tunnel/index.ts";
import { REPORT_ACTIVE_MS, REPORT_RETRY_MS, REPORT_WAITING_MS } from "./limits.ts";

/** Of a report's detail, UTF-16 code units. */
const DETAIL_CHARACTERS_MAX = 256;

/**
 * `hint`: what became of a hint for another release; `connection`: why the agent pauses the update.
 */
export type RemarkKind = "hint" | "connection";

export interface UpdateReporter {
  /** Something may have changed: reads the update now. */
  poke(): void;
  /**
   * Adds what the warden does not know to the reports on the active release, until that release
   * ends. Replaces any earlier remark. Without an active release nothing is reported.
   * @param text undefined withdraws the remark of this kind.
   * @param except the remark is not made while this target is the active one.
   */
  remark(kind: RemarkKind, text: string | undefined, except?: string): void;
  /** Reports that a hint led to nothing while no release is active. @throws Fault `tunnel.*`. */
  reportFailed(target: string, fault: Fault): Promise<void>;
  /** Why the last report failed, until one succeeds. */
  fault(): Fault | undefined;
  /** Resolves after the signal has aborted and nothing is under way any more. */
  readonly done: Promise<void>;
}

export interface UpdateReporterOptions {
  readonly warden: Pick<WardenClient, "call">;
  readonly tunnel: Pick<Tunnel, "publish">;
  readonly clock: Pick<Clock, "sleep">;
  readonly signal: AbortSignal;
}

interface Remark {
  readonly kind: RemarkKind;
  readonly text: string;
  readonly except: string | undefined;
  /** Digest of the release that the remark belongs to, from the first report on. */
  digest: string | undefined;
}

export function startUpdateReporter(options: UpdateReporterOptions): UpdateReporter {
  return new HubUpdateReporter(options);
}

class HubUpdateReporter implements UpdateReporter {
  readonly done: Promise<void>;
  readonly #options: UpdateReporterOptions;
  /** What the hub knows: the key of the last status that was reported. */
  #reportedKey: string | undefined;
  #remark: Remark | undefined;
  #fault: Fault | undefined;
  #poked = new AbortController();

  constructor(options: UpdateReporterOptions) {
    this.#options = options;
    this.done = this.#run();
  }

  poke(): void {
    this.#poked.abort();
  }

  remark(kind: RemarkKind, text: string | undefined, except?: string): void {
    if (text === undefined && this.#remark?.kind !== kind) return;
    this.#remark = text === undefined ? undefined : { kind, text: clip(text, DETAIL_CHARACTERS_MAX), except, digest: undefined };
    this.#poked.abort();
  }

  async reportFailed(target: string, { code, message }: Fault): Promise<void> {
    const { version, running } = await this.#options.warden.call("update.read", {});
    await this.#publish({
      phase: "failed",
      ...(version !== undefined && { version }),
      ...(running !== undefined && { running }),
      detail: clip(`${target}: ${code}: ${message}`, DETAIL_CHARACTERS_MAX),
    });
  }

  fault(): Fault | undefined {
    return this.#fault;
  }

  async #run(): Promise<void> {
    const { clock, signal } = this.#options;
    while (!signal.aborted) {
      this.#poked = new AbortController();
      const ended = AbortSignal.any([signal, this.#poked.signal]);
      const waitMs = await this.#reportChange();
      if (waitMs === undefined) await aborted(ended);
      else await clock.sleep(waitMs, ended);
    }
  }

  /** @returns how long no change is expected, milliseconds; undefined: until poked. */
  async #reportChange(): Promise<number | undefined> {
    try {
      const update = this.#withRemark(await this.#options.warden.call("update.read", {}));
      const key = keyOf(update);
      if (key !== this.#reportedKey) await this.#publish(update);
      this.#reportedKey = key;
      this.#fault = undefined;
      return waitMsAfter(update);
    } catch (error) {
      this.#fault = asFault(error, "protocol.closed", "report the update");
      return REPORT_RETRY_MS;
    }
  }

  #withRemark(update: UpdateStatus): UpdateStatus {
    const remark = this.#remark;
    if (remark === undefined) return update;
    const { phase, release } = update;
    remark.digest ??= release?.digest;
    if (isUpdateActive(phase) && release?.digest === remark.digest && release?.target !== remark.except)
      return { ...update, detail: remark.text };
    this.#remark = undefined;
    return update;
  }

  async #publish(update: UpdateStatus): Promise<void> {
    await this.#options.tunnel.publish("update", { kind: "update", update } satisfies UpdateReport);
  }
}

/** What makes a status different for the hub. Progress in chunks does not. */
function keyOf({ phase, release, awaitsOrder, reason, detail }: UpdateStatus): string {
  return JSON.stringify([phase, release?.digest, awaitsOrder, reason?.why, detail]);
}

function waitMsAfter({ phase, awaitsOrder }: UpdateStatus): number | undefined {
  if (awaitsOrder !== undefined) return REPORT_WAITING_MS;
  return isUpdateActive(phase) ? REPORT_ACTIVE_MS : undefined;
}
