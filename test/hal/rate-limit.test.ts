// The token bucket, on clocks that step and on calls that wait.
import { test } from "tap";
import { createTokenBucket } from "../../hal/rate-limit.ts";
import { fakeClock } from "../lab/fakes/clock.ts";

test("[OPS-2] a burst passes, then one call a period, and no more than the burst is ever saved up", async (t) => {
  const clock = fakeClock();
  const bucket = createTokenBucket(clock, 3, 100);
  t.same([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, true, false]);
  await clock.advance(99);
  t.notOk(bucket.take());
  await clock.advance(1);
  t.same([bucket.take(), bucket.take()], [true, false]);
  await clock.advance(1_000_000);
  t.same([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, true, false]);
});

test("[OPS-2] a step of the wall clock gives no extra tokens", async (t) => {
  const clock = fakeClock();
  const bucket = createTokenBucket(clock, 1, 100);
  bucket.take();
  await clock.set(Date.UTC(2040, 0, 1));
  t.notOk(bucket.take());
});

test("the announced wait is exact to the millisecond", async (t) => {
  const clock = fakeClock();
  const bucket = createTokenBucket(clock, 3, 1000);
  t.equal(bucket.dueMs(), 0);
  for (let n = 0; n < 3; n++) bucket.take();
  t.equal(bucket.dueMs(), 1000);
  await clock.advance(250);
  t.equal(bucket.dueMs(), 750);
  await clock.advance(749);
  t.notOk(bucket.take());
  await clock.advance(bucket.dueMs());
  t.ok(bucket.take());
});

test("several tokens at once: all of them or none, and never more than the bucket holds", async (t) => {
  const clock = fakeClock();
  const bucket = createTokenBucket(clock, 10, 100);
  t.same([bucket.take(11), bucket.take(8), bucket.take(3), bucket.take(2)], [false, true, false, true]);
  await clock.advance(100);
  t.same([bucket.take(2), bucket.take(1)], [false, true]);
});
