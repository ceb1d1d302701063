// The mutex for asynchronous work.
import { test } from "tap";
import { createMutex } from "../../hal/mutex.ts";

test("work runs one at a time in the order of the calls, and a failure rejects its own call only", async (t) => {
  const exclusively = createMutex();
  const log: string[] = [];
  const slow = Promise.withResolvers<void>();
  const first = exclusively(async () => {
    log.push("first begins");
    await slow.promise;
    log.push("first ends");
    return 1;
  });
  const second = exclusively(async () => {
    log.push("second");
    throw new RangeError("it went wrong");
  });
  const third = exclusively(async () => log.push("third"));
  await Promise.resolve();
  t.same(log, ["first begins"], "the second call waits for the first");
  slow.resolve();
  t.equal(await first, 1);
  await t.rejects(second, /went wrong/u);
  t.equal(await third, 4);
  t.same(log, ["first begins", "first ends", "second", "third"]);
});
