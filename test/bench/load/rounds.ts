// How every load program takes its orders: a line `ROUND COUNT` on stdin is a round of so many, its outcome one line of JSON on stdout. Ends with its stdin.
// The two peers of a comparison are alive together and get their rounds in turn, so that neither has the better minute of the machine.

export type Outcome = Readonly<Record<string, number | string>>;

/** Tells that it is ready, then serves rounds. */
export function serveRounds(round: (count: number) => Promise<Outcome>): void {
  let waiting = Promise.resolve();
  let rest = "";
  process.stdin.on("data", (chunk: Buffer) => {
    const lines = `${rest}${chunk.toString()}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [number, count] = line.split(" ").map(Number);
      waiting = waiting.then(() => serve(number ?? 0, count ?? 0)).catch(fail);
    }
  });
  process.stdin.on("end", () => process.exit(0));
  tell({ round: 0 });

  async function serve(number: number, count: number): Promise<void> {
    const started = performance.now();
    const outcome = await round(count);
    const ms = performance.now() - started;
    tell({ round: number, ms, ...outcome, ...memory() });
  }
}

/** After a collection, so that what is measured is what is kept. Outside of the round's time. */
function memory(): Outcome {
  globalThis.gc?.();
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rssBytes: rss, keptBytes: heapUsed + external };
}

function tell(outcome: Outcome): void {
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
}

/** `count` times `work`, at most `width` at once. */
export async function inWindow(count: number, width: number, work: () => Promise<void>): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await work();
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
}
