// Work that takes turns.
import { test } from "tap";
import { createMutex } from "../../hal/mutex.ts";

test("work runs one after the other in the order of the calls, and a failure ends its own turn only", async (t) => {
  const inTurn = createMutex();
  const log: string[] = [];
  const slow = Promise.withResolvers<void>();
  const first = inTurn(async () => {
    log.push("first begins");
    await slow.promise;
    log.push("first ends");
    return 1;
  });
  const second = inTurn(async () => {
    log.push("second");
    throw new RangeError("it went wrong");
  });
  const third = inTurn(async () => log.push("third"));
  await Promise.resolve();
  t.same(log, ["first begins"], "nobody begins before");
  slow.resolve();
  t.equal(await first, 1);
  await t.rejects(second, /went wrong/u);
  t.equal(await third, 4);
  t.same(log, ["first begins", "first ends", "second", "third"]);
});
