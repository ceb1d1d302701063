// Work that must not overlap: files, records, chips, doors.

/** @returns a function that runs what it is given one after the other, in the order of the calls; a failure ends its own turn only. */
export function createMutex(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => undefined); // its caller gets the fault; the next turn only waits for the end
    return turn;
  };
}
