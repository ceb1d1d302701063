// Mutual exclusion for asynchronous work on one resource: a file, a record, a TPM.

/**
 * @returns a function that runs the work it gets one at a time, in the order of the calls. A
 *   failure rejects its own call only.
 */
export function createMutex(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const run = last.then(work);
    // the caller gets the fault; the next call only waits for the end
    last = run.catch(() => undefined);
    return run;
  };
}

export interface PriorityMutex {
  /**
   * Runs `work` when no other work runs or waits before it. A failure rejects its own call only.
   */
  run<T>(work: () => Promise<T>): Promise<T>;
  /**
   * As {@link run}, but before all work that waits for {@link run}: it waits only for the work that
   * runs now and for earlier urgent work. Deadlines use it.
   */
  runFirst<T>(work: () => Promise<T>): Promise<T>;
}

/** A mutex in which deadlines do not queue behind requests. [OPS-11] */
export function createPriorityMutex(): PriorityMutex {
  return new QueuedMutex();
}

class QueuedMutex implements PriorityMutex {
  readonly #urgent: (() => Promise<void>)[] = [];
  readonly #ordinary: (() => Promise<void>)[] = [];
  #isRunning = false;

  run<T>(work: () => Promise<T>): Promise<T> {
    return this.#enqueue(this.#ordinary, work);
  }

  runFirst<T>(work: () => Promise<T>): Promise<T> {
    return this.#enqueue(this.#urgent, work);
  }

  #enqueue<T>(queue: (() => Promise<void>)[], work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      queue.push(() => work().then(resolve, reject));
      void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let next = this.#next(); next !== undefined; next = this.#next()) await next();
    this.#isRunning = false;
  }

  #next(): (() => Promise<void>) | undefined {
    return this.#urgent.shift() ?? this.#ordinary.shift();
  }
}
