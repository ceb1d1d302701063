// What the decisions about devices work with.
import type { Issuer } from "../authority/index.ts";
import type { Store } from "../store/index.ts";
import type { Note } from "../journal.ts";

export interface Desk {
  readonly store: Store;
  readonly journal: Note;
  readonly issuer: Issuer;
  readonly certificateLifeMs: number;
}
