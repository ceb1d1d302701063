// The protocol of every load program: a line `ROUND COUNT` on stdin starts a round of COUNT, its
// result is one line of JSON on stdout. The program ends with its stdin. The two sides of a
// comparison run at the same time and get their rounds in turn, so that neither has the quieter
// minute of the machine.

export type Outcome = Readonly<Record<string, number | string>>;

/** Reports that the program is ready, then serves rounds. */
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
    const cpu = process.cpuUsage();
    const started = performance.now();
    const outcome = await round(count);
    const ms = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    tell({ round: number, ms, cpuMs: (user + system) / 1000, ...outcome, ...memory() });
  }
}

/**
 * Memory after a garbage collection, so that only retained memory counts. Not part of the round's
 * time.
 */
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

/** Runs `work` `count` times, at most `width` at once. */
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
