// The SQLite engine on threads of its own: one writes, one reads. In write-ahead mode a read does
// not wait for a commit, and neither of them holds up the hub's event loop.
import { Worker } from "node:worker_threads";
import { asFault, assert, Fault } from "../../hal/fault.ts";
import { tryCheck } from "../../hal/format/schema.ts";
import type { Engine, SqlParameters, Statement, StatementResult } from "./engine.ts";
import { type StoreAnswer, answerMessage, type StoreRequest } from "./message.ts";
import type { Row } from "./row.ts";

/** The thread's program: beside this file, or beside the bundle that contains it. */
const PROGRAM = new URL(import.meta.url.endsWith(".ts") ? "./thread.ts" : "./store-thread.js", import.meta.url);

/** How soon a thread that ended by itself is started again. */
const RESTART_MS = 1000;

export interface ThreadOptions {
  /**
   * Gets the fault when a thread ends by itself. What it was asked fails with `hub.store-failed`,
   * and so does every call until it has been started again.
   */
  readonly onEnded?: (fault: Fault) => void;
  /** Of a test that ends threads. */
  readonly program?: URL;
}

/** @throws Fault `hub.store-failed`. */
export async function openSqliteThreads(path: string, options: ThreadOptions = {}): Promise<Engine> {
  // The writer first: it makes the tables.
  const writer = await openLasting(path, options);
  const reader = await openLasting(path, options);
  return {
    read: (sql, parameters) => reader.current.read(sql, parameters),
    commit: (statements) => writer.current.commit(statements),
    // The writer's own commits do not change its version.
    version: () => writer.current.version(),
    close: async () => {
      await Promise.all([writer.close(), reader.close()]);
    },
  };
}

async function openLasting(path: string, options: ThreadOptions): Promise<LastingThread> {
  const thread = new LastingThread(path, options);
  try {
    await thread.current.version();
    return thread;
  } catch (error) {
    await thread.terminate();
    throw error;
  }
}

/**
 * [TUN-27] A store thread that is started again when it ends by itself: for want of memory, or by
 * a defect.
 */
class LastingThread {
  readonly #path: string;
  readonly #options: ThreadOptions;
  #current: StoreThread;
  #restart: NodeJS.Timeout | undefined;

  constructor(path: string, options: ThreadOptions) {
    this.#path = path;
    this.#options = options;
    this.#current = this.#start();
  }

  get current(): StoreThread {
    return this.#current;
  }

  close(): Promise<void> {
    clearTimeout(this.#restart);
    return this.#current.close();
  }

  terminate(): Promise<void> {
    clearTimeout(this.#restart);
    return this.#current.terminate();
  }

  #start(): StoreThread {
    const thread = new StoreThread(this.#path, this.#options.program ?? PROGRAM, (fault) => {
      this.#options.onEnded?.(fault);
      this.#restart = setTimeout(() => (this.#current = this.#start()), RESTART_MS);
    });
    return thread;
  }
}

type Ask<T extends StoreRequest = StoreRequest> = T extends unknown ? Omit<T, "id"> : never;

class StoreThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, PromiseWithResolvers<StoreAnswer>>();
  #nextId = 0;
  #ended: Fault | undefined;
  #closing: Promise<void> | undefined;

  constructor(path: string, program: URL, onEnded: (fault: Fault) => void) {
    // Options of the hub's own process, such as loaders, are not for the thread.
    this.#worker = new Worker(program, { workerData: { path }, execArgv: [] });
    this.#worker.on("message", (message: unknown) => {
      const answer = tryCheck(answerMessage, message);
      assert(answer !== undefined, "a store thread sends what the hub understands");
      this.#settle(answer);
    });
    const ended = (fault: Fault): void => {
      const isNews = this.#ended === undefined && this.#closing === undefined;
      this.#end(fault);
      if (isNews) onEnded(fault);
    };
    this.#worker.on("error", (error) => ended(asFault(error, "hub.store-failed", "run the store's thread")));
    this.#worker.on("exit", () => ended(new Fault("hub.store-failed", "use the hub's store: its thread has ended")));
  }

  async read(sql: string, parameters: SqlParameters): Promise<readonly Row[]> {
    const answer = await this.#ask({ ask: "read", sql, parameters });
    assert("rows" in answer, "a read is answered with rows");
    return answer.rows;
  }

  async commit(statements: readonly Statement[]): Promise<readonly StatementResult[]> {
    const answer = await this.#ask({ ask: "commit", statements });
    assert("results" in answer, "a commit is answered with results");
    return answer.results;
  }

  async version(): Promise<number> {
    const answer = await this.#ask({ ask: "version" });
    assert("version" in answer, "a question for the version is answered with it");
    return answer.version;
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async terminate(): Promise<void> {
    this.#closing ??= Promise.resolve();
    await this.#worker.terminate();
  }

  async #close(): Promise<void> {
    if (this.#ended !== undefined) return;
    try {
      await this.#ask({ ask: "close" });
    } finally {
      await this.#worker.terminate();
    }
  }

  #ask(request: Ask): Promise<StoreAnswer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const waiting = Promise.withResolvers<StoreAnswer>();
    const id = this.#nextId++;
    this.#waiting.set(id, waiting);
    this.#worker.postMessage({ ...request, id }, []);
    return waiting.promise;
  }

  #settle(answer: StoreAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    assert(waiting !== undefined, "a thread answers what it was asked");
    if ("fault" in answer) waiting.reject(new Fault(answer.fault.code, answer.fault.message));
    else waiting.resolve(answer);
  }

  #end(fault: Fault): void {
    this.#ended ??= fault;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
