import fc from "fast-check";
import { test } from "tap";
import { openSpool, type Spool, SPOOL_CLASSES, type Spooled } from "../../agent/tunnel/spool/index.ts";
import { type FakeAppendFiles, fakeAppendFiles } from "../lab/fakes/files.ts";

type Step =
  /** Without `waits`, what follows happens while the message is written. */
  | { readonly do: "append"; readonly cls: (typeof SPOOL_CLASSES)[number]; readonly bytes: number; readonly waits: boolean }
  /** With `ready`, from memory where possible, as the pump does. */
  | { readonly do: "take"; readonly ready: boolean }
  | { readonly do: "turn" }
  | { readonly do: "ack"; readonly pick: number }
  | { readonly do: "reconnect" }
  | { readonly do: "crash" }
  | { readonly do: "fail"; readonly inChanges: number; readonly prefixBytes: number };

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("append" as const),
        cls: fc.constantFrom(...SPOOL_CLASSES),
        bytes: fc.constantFrom(10, 300, 20_000, 70_000),
        waits: fc.boolean(),
      }),
    },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("take" as const), ready: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("ack" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("reconnect" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("fail" as const),
        inChanges: fc.integer({ min: 1, max: 3 }),
        prefixBytes: fc.constantFrom(0, 1, 12, 1_000_000),
      }),
    },
  ),
  { maxLength: 120, size: "max" },
);

function open(files: FakeAppendFiles): Promise<Spool> {
  return openSpool({
    files,
    limits: { bytesMax: 100_000_000, ageMsMax: 1 },
    clock: { nowMs: () => 0, monotonicMs: () => 0 },
    bootId: "one",
    clockIsSynced: () => true,
    onDrop: (drop) => {
      throw new RangeError(`dropped ${JSON.stringify(drop)}`);
    },
    onFault: () => undefined, // Planned faults of marks and removals: the spool itself tries again.
  });
}

const nameOf = (message: Spooled): string => Buffer.from(message.payload).toString().trimEnd();

/**
 * Plays `steps` against a plain list of what was promised.
 * @returns the broken promise; undefined when there is none.
 */
async function play(list: readonly Step[]): Promise<string | undefined> {
  const files = fakeAppendFiles();
  let spool = await open(files);
  const promised = new Set<string>(); // Durable, not acknowledged.
  // Everything that was ever appended, also when the append was reported as failed.
  const known = new Set<string>();
  const acked = new Set<string>(); // Appended without a crash since.
  let flying: Spooled[] = [];
  let last = new Map<string, number>();

  const take = async (ready: boolean): Promise<string | undefined> => {
    const inMemory = ready ? spool.nextReady() : "on-disk";
    const message = inMemory === "on-disk" ? await spool.next() : inMemory;
    if (message === undefined) return undefined;
    flying.push(message);
    const name = nameOf(message);
    const number = Number(name.split(":")[1]);
    if (!known.has(name)) return `unknown message ${name}`;
    if (number <= (last.get(message.class) ?? -1)) return `${name} came after ${last.get(message.class)}`;
    if (acked.has(name)) return `${name} came again after its acknowledgement`;
    last.set(message.class, number);
    return undefined;
  };
  const forget = (): void => {
    flying = [];
    last = new Map();
  };

  for (const [index, step] of list.entries()) {
    if (step.do === "append") {
      const name = `${step.cls}:${index}`;
      known.add(name);
      const payload = Buffer.from(name.padEnd(step.bytes));
      const appended = spool.append(step.cls, "event", payload).then(
        () => (acked.has(name) ? undefined : promised.add(name)),
        () => undefined,
      );
      if (step.waits) await appended;
    } else if (step.do === "turn") {
      await Promise.resolve();
    } else if (step.do === "take") {
      const broken = await take(step.ready);
      if (broken !== undefined) return broken;
    } else if (step.do === "ack") {
      const [message] = flying.splice(step.pick % Math.max(1, flying.length), 1);
      message?.acknowledge();
      if (message === undefined) continue;
      promised.delete(nameOf(message));
      acked.add(nameOf(message));
    } else if (step.do === "reconnect") {
      await spool.rewind();
      forget();
    } else if (step.do === "crash") {
      // Waits for what is under way. A crash in the middle of an append is "fail", then "crash".
      await spool.rewind();
      files.faults.heal();
      spool = await open(files);
      acked.clear();
      forget();
    } else files.faults.failAt(step.inChanges, "file.write-failed", step.prefixBytes);
  }
  files.faults.heal();
  await spool.rewind();
  forget();
  for (let count = -1; flying.length > count;) {
    count = flying.length;
    const broken = await take(false);
    if (broken !== undefined) return broken;
  }
  const missing = [...promised].filter((name) => !flying.some((message) => nameOf(message) === name));
  return missing.length > 0 ? `lost ${missing.join(", ")}` : undefined;
}

test("[TUN-6] [TUN-8] in every case, what was promised comes in order, and nothing else does", async (t) => {
  const property = fc.asyncProperty(steps, async (list) => {
    const broken = await play(list);
    if (broken !== undefined) throw new RangeError(broken);
  });
  await t.resolves(fc.assert(property, { numRuns: 200 }));
});
