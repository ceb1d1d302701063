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
