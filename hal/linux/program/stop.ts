// Being told to stop.

/** Aborts with the first signal that asks us to end, whose name is the reason. A second one ends the process at once, as signals do. */
export function toldToStop(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort(name));
  return stop.signal;
}

/** @returns why `stop` aborted, when it does. */
export function reasonOf(stop: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const tell = (): void => resolve(String(stop.reason));
    if (stop.aborted) tell();
    else stop.addEventListener("abort", tell, { once: true });
  });
}
