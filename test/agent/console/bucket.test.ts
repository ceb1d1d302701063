import { test } from "tap";
import { fullBucket, takeToken } from "../../../agent/console/bucket.ts";
import { reopenDelayMs } from "../../../agent/console/console.ts";

const SIZE = { tokensMax: 3, refillMs: 1000 };

test("a burst is let through, then one per refill time, and the wait that is told is the wait", async (t) => {
  let bucket = fullBucket(SIZE, 0);
  const take = (nowMs: number): number => {
    const taken = takeToken(bucket, SIZE, nowMs);
    bucket = taken.bucket;
    return taken.waitMs;
  };
  t.same([take(0), take(0), take(0), take(0), take(250), take(1000), take(1000)], [0, 0, 0, 1000, 750, 0, 1000]);
  t.same(
    [take(1_000_000), take(1_000_000), take(1_000_000), take(1_000_000)],
    [0, 0, 0, 1000],
    "time off fills it, no further than its size",
  );
});

test("[CON-2] the wait before the port is opened again doubles to a minute and falls back only after a connection that held", async (t) => {
  const waits: number[] = [250];
  while (waits.length < 11) waits.push(reopenDelayMs(waits.at(-1) ?? 0, 100));
  t.same(waits.slice(1), [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  t.equal(reopenDelayMs(60_000, 9_999), 60_000);
  t.equal(reopenDelayMs(60_000, 10_000), 500);
});
