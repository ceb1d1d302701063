// How often somebody may.
import { test } from "tap";
import { tokenBucket } from "../../../warden/protocol/index.ts";
import { fakeClock } from "../../lab/fake-clock.ts";

test("[OPS-2] a burst, then one a period, never more than the burst saved up", async (t) => {
  const clock = fakeClock();
  const bucket = tokenBucket(clock, 3, 100);
  t.same([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, true, false]);
  await clock.advance(99);
  t.notOk(bucket.take());
  await clock.advance(1);
  t.same([bucket.take(), bucket.take()], [true, false]);
  await clock.advance(1_000_000);
  t.same([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, true, false]);
});

test("[OPS-2] a wall clock that steps gives nobody more", async (t) => {
  const clock = fakeClock();
  const bucket = tokenBucket(clock, 1, 100);
  bucket.take();
  await clock.set(Date.UTC(2040, 0, 1));
  t.notOk(bucket.take());
});

test("[OPS-2] who waits is served in turn at the bucket's pace, and let go when it is over", async (t) => {
  const clock = fakeClock();
  const bucket = tokenBucket(clock, 1, 100);
  const order: string[] = [];
  const never = new AbortController();
  for (const name of ["a", "b", "c"]) void bucket.wait(never.signal).then(() => order.push(name));
  await clock.advance(0);
  t.same(order, ["a"]);
  await clock.advance(100);
  t.same(order, ["a", "b"]);
  await clock.advance(100);
  t.same(order, ["a", "b", "c"]);
  const over = new AbortController();
  const gone = bucket.wait(over.signal);
  over.abort();
  t.equal(await gone, false);
});
