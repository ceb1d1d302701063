// What the work on releases needs from the rest of the agent and from the machine.
import type { Fault } from "../../hal/fault.ts";
import type { Clock, HandoverWriter, DurableFiles } from "../../hal/ports.ts";
import type { Repository } from "../../ota/fetch/index.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { Tunnel } from "../tunnel/index.ts";

/**
 * Opened for one step of work and closed after it, so that between two steps nothing is in memory.
 */
export interface ReleasePlaces {
  /** The agent's own metadata store. [OTA-1] */
  metadata(): Promise<DurableFiles>;
  /** TUF root of the image. @throws Fault `config.unreadable` where the image has none. */
  imageRoot(): Promise<Uint8Array>;
  /** The handover directory, from which the warden takes files. [OTA-32] */
  drop(): Promise<HandoverWriter>;
  repository(): Repository & { close(): void };
}

export interface ReleasesOptions {
  readonly places: ReleasePlaces;
  readonly warden: Pick<WardenClient, "call">;
  readonly tunnel: Pick<Tunnel, "publish" | "renew">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: (line: string) => void;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
}

/** What one step of work has at hand. */
export interface StepContext {
  readonly warden: Pick<WardenClient, "call">;
  readonly repository: Repository;
  readonly drop: HandoverWriter;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /**
   * Records what the agent refuses itself. The warden never hears of it, so nobody else records it.
   */
  readonly refused: (fault: Fault, channel: "repository" | "update") => void;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}
