// What the work on releases is made with.
import type { Fault } from "../../hal/fault.ts";
import type { Clock, HandoverWriter, DurableFiles } from "../../hal/ports.ts";
import type { Repository } from "../../ota/fetch/index.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import type { Tunnel } from "../tunnel/index.ts";

/** Opened for one step of work and closed after it: between two of them nothing of it is in memory. */
export interface ReleasePlaces {
  /** The agent's own metadata store. [OTA-1] */
  metadata(): Promise<DurableFiles>;
  /** TUF root of the image. @throws Fault `config.unreadable` where the image has none. */
  imageRoot(): Promise<Uint8Array>;
  /** Where the warden takes files from. [OTA-32] */
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

/** What a step of work holds while it lasts. */
export interface StepContext {
  readonly warden: Pick<WardenClient, "call">;
  readonly repository: Repository;
  readonly drop: HandoverWriter;
  readonly clock: Clock;
  readonly random: () => number;
  /** Tells what the agent refuses by itself: of that the warden hears nothing, so it is in nobody else's record. */
  readonly refused: (fault: Fault, channel: "repository" | "update") => void;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}

/** Kinds of failure that another attempt may not meet: the line, the disk, a mirror that is behind, a warden that restarts or is at something else. */
export function mayPass({ code }: Fault): boolean {
  return (
    code.startsWith("fetch.") ||
    code.startsWith("tls.") ||
    code.startsWith("tunnel.") ||
    code.startsWith("file.") ||
    code === "chunk.missing" ||
    code === "protocol.closed" ||
    code === "protocol.rate-limited" ||
    code === "lockdown.busy"
  );
}
