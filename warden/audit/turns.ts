// One thing at a time, in the order asked for.

/** @returns a function that runs `work` when all work given to it before has ended, well or not. */
export function turns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work, work);
    last = result;
    return result;
  };
}
