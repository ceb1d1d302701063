// The services that decisions about devices use.
import type { Issuer } from "../authority/index.ts";
import type { Store } from "../store/index.ts";
import type { JournalWriter } from "../journal.ts";
import type { PendingQueue } from "./pending-queue.ts";

/** What an operator's decision needs. The hub need not run. */
export type DecisionContext = Pick<DeviceContext, "store">;

export interface DeviceContext {
  readonly store: Store;
  readonly journal: JournalWriter;
  readonly pending: PendingQueue;
  readonly issuer: Issuer;
  readonly certificateLifeMs: number;
  /** [ID-93] For new device certificates. */
  readonly crlUrl?: string | undefined;
  /** [STA-53] By which what has ended is removed; the wall clock where it is missing. */
  readonly retentionMs?: () => number;
}
