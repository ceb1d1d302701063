// The SQLite engine on the thread that calls it: one connection, and commits in groups.
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Fault } from "../../hal/fault.ts";
import { COMMIT_STATEMENTS_MAX } from "../limits.ts";
import { openDatabase, pragma } from "./database.ts";
import type { Engine, SqlParameters, Statement, StatementResult } from "./engine.ts";
import { storeFault } from "./remedy.ts";
import type { Row } from "./row.ts";

/** @throws Fault `hub.store-failed`. */
export function openSqlite(path: string): Engine {
  return new SqliteEngine(openDatabase(path), path);
}

interface QueuedCommit {
  readonly statements: readonly Statement[];
  readonly done: PromiseWithResolvers<readonly StatementResult[]>;
}

interface PreparedStatement {
  readonly statement: StatementSync;
  readonly hasRows: boolean;
}

class SqliteEngine implements Engine {
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #prepared = new Map<string, PreparedStatement>();
  #queue: QueuedCommit[] = [];

  constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  async read(sql: string, parameters: SqlParameters): Promise<readonly Row[]> {
    try {
      return this.#run({ sql, parameters }).rows;
    } catch (error) {
      throw storeFault(error, `read the hub's store "${this.#path}"`);
    }
  }

  async commit(statements: readonly Statement[]): Promise<readonly StatementResult[]> {
    const done = Promise.withResolvers<readonly StatementResult[]>();
    this.#queue.push({ statements, done });
    // Everything that is asked for in this turn of the event loop shares one fsync. On a thread of
    // its own, a turn lasts as long as the commit before.
    if (this.#queue.length === 1) setImmediate(() => this.#commitQueued());
    return done.promise;
  }

  async version(): Promise<number> {
    return pragma(this.#database, "data_version");
  }

  async close(): Promise<void> {
    while (this.#queue.length > 0) this.#commitQueued();
    if (this.#database.isOpen) this.#database.close();
  }

  #commitQueued(): void {
    const group = takeGroup(this.#queue);
    if (group.length === 0) return;
    if (this.#queue.length > 0) setImmediate(() => this.#commitQueued());
    try {
      // IMMEDIATE takes the write lock now: waiting happens here, and not at the first write.
      this.#database.exec("BEGIN IMMEDIATE");
      const outcomes = group.map(({ statements }) => this.#attempt(statements));
      this.#database.exec("COMMIT");
      for (const [index, { done }] of group.entries()) {
        const outcome = outcomes[index];
        if (outcome instanceof Fault || outcome === undefined) done.reject(outcome);
        else done.resolve(outcome);
      }
    } catch (error) {
      if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec("ROLLBACK");
      const fault = storeFault(error, `write to the hub's store "${this.#path}"`);
      for (const { done } of group) done.reject(fault);
    }
  }

  /** @returns why these statements were rolled back, alone. @throws what ends the whole group. */
  #attempt(statements: readonly Statement[]): readonly StatementResult[] | Fault {
    this.#database.exec("SAVEPOINT one");
    try {
      const results = statements.map((statement) => this.#guarded(statement));
      this.#database.exec("RELEASE one");
      return results;
    } catch (error) {
      // After a full disk SQLite has ended the transaction itself, and with it the group.
      if (!this.#database.isTransaction) throw error;
      this.#database.exec("ROLLBACK TO one; RELEASE one");
      if (error instanceof Fault) return error;
      const action = `write to the hub's store "${this.#path}"`;
      return isConstraint(error) ? conflict(error) : storeFault(error, action);
    }
  }

  #guarded(statement: Statement): StatementResult {
    const result = this.#run(statement);
    if (statement.guard === true && result.rows.length === 0 && result.changes === 0) throw conflict(undefined);
    return result;
  }

  #run({ sql, parameters }: Statement): StatementResult {
    const { statement, hasRows } = this.#prepare(sql);
    if (hasRows)
      return { rows: isList(parameters) ? statement.all(...parameters) : statement.all({ ...parameters }), changes: 0 };
    const { changes } = isList(parameters) ? statement.run(...parameters) : statement.run({ ...parameters });
    return { rows: [], changes: Number(changes) };
  }

  #prepare(sql: string): PreparedStatement {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    const prepared = { statement, hasRows: statement.columns().length > 0 };
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/** Removes the next group from `queue`. A large commit does not make all others wait for it. */
function takeGroup(queue: QueuedCommit[]): readonly QueuedCommit[] {
  let [count, statements] = [0, 0];
  while (count < queue.length && (count === 0 || statements < COMMIT_STATEMENTS_MAX)) {
    statements += queue[count]?.statements.length ?? 0;
    count += 1;
  }
  return queue.splice(0, count);
}

function isList(parameters: SqlParameters): parameters is Extract<SqlParameters, readonly unknown[]> {
  return Array.isArray(parameters);
}

function conflict(cause: unknown): Fault {
  return new Fault("hub.store-conflict", "write to the hub's store: somebody else changed it at the same time; try again", {
    cause,
  });
}

function isConstraint(error: unknown): boolean {
  // SQLITE_CONSTRAINT; the higher bits say which one
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" && (error.errcode & 0xff) === 19;
}
