// The packet filter of hal/ports.ts, in a file of its own for its length.
import type { Fault } from "./fault.ts";

/**
 * The machine's packet filter: only one table is ours, and nothing else is read or changed. A table
 * is text in the canonical form of hal/linux/firewall, `table inet sallyport {...}`.
 */
export interface Firewall {
  /**
   * Replaces our table with `table` as a whole, in one transaction, and reads it back.
   * @returns our table as the kernel has it after the transaction, as {@link read} does. It differs
   *   from `table` when another program has changed it meanwhile.
   * @throws Fault `firewall.refused` when nothing was changed; `firewall.unreadable`, `process.*`
   *   when it is not known what is in force.
   */
  replace(table: string): Promise<string | undefined>;
  /**
   * @returns our table as the kernel has it now, in the same form; undefined when there is none.
   * @throws Fault `firewall.unreadable`.
   */
  read(): Promise<string | undefined>;
}

/** A packet filter that tells when another program has changed our table. */
export interface WatchedFirewall extends Firewall {
  /**
   * Runs until `signal` aborts. Never rejects. It may miss a change, and may tell one that changed
   * nothing: who wants to know reads the table.
   * @param report gets why the watch was interrupted. It goes on by itself.
   */
  watch(this: void, changed: (change: ForeignChange) => void, report: (fault: Fault) => void, signal: AbortSignal): Promise<void>;
}

/** What another program did to our table, as texts for people. */
export interface ForeignChange {
  /** The program's name and process id, as the kernel knows them. */
  readonly by: string;
  /** Its first step. */
  readonly what: string;
  /** The kernel has told that the table is deleted: nobody needs to read it to know. */
  readonly isDeleted?: boolean;
}
