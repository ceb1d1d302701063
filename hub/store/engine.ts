// What the store needs from a database engine: reads, and atomic commits of a list of statements.
// No call holds a transaction open between two messages, so an engine may run on another thread or
// on another machine.
import type { Row } from "./row.ts";

export type SqlValue = null | number | string | Uint8Array;
/** By position, or by name for `:name`. */
export type SqlParameters = readonly SqlValue[] | Readonly<Record<string, SqlValue>>;

export interface Statement {
  readonly sql: string;
  readonly parameters: SqlParameters;
  /**
   * The commit fails with `hub.store-conflict` when this statement finds or changes no row: what
   * the caller read before is no longer so.
   */
  readonly guard?: boolean;
}

export interface StatementResult {
  /** Of a SELECT, or of RETURNING. */
  readonly rows: readonly Row[];
  /** Rows that were inserted, updated or deleted. */
  readonly changes: number;
}

export interface Engine {
  /** Sees every commit that resolved before. Does not wait for a commit that runs. */
  read(sql: string, parameters: SqlParameters): Promise<readonly Row[]>;
  /**
   * All statements or none, in their order. Resolves when they are on the disk. Commits that are
   * asked for while one runs go to the disk together with the next one, and each fails by itself.
   * @throws Fault `hub.store-conflict` for a guard or a constraint; `hub.store-failed`.
   */
  commit(statements: readonly Statement[]): Promise<readonly StatementResult[]>;
  /** Changes when another process has written to the store. */
  version(): Promise<number>;
  /** Finishes what was asked for before. May be called more than once. */
  close(): Promise<void>;
}

/** A part of a commit. What is in it is the engine's business. */
export interface Change {
  readonly statements: readonly Statement[];
  /** Called after the commit, with the results of these statements. */
  readonly committed?: (results: readonly StatementResult[]) => void;
  /** Called when the commit failed. */
  readonly failed?: () => void;
}

/** @returns the change of one statement. */
export function change(sql: string, parameters: SqlParameters): Change {
  return { statements: [{ sql, parameters }] };
}

/** @returns a change that fails the commit when it finds or changes no row. */
export function guard(sql: string, parameters: SqlParameters): Change {
  return { statements: [{ sql, parameters, guard: true }] };
}
