// The mutex for asynchronous work.
import { test } from "tap";
import { createMutex, createPriorityMutex } from "../../hal/mutex.ts";

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

test("[OPS-11] urgent work comes before ordinary work that waits, and after the work that runs", async (t) => {
  const mutex = createPriorityMutex();
  const log: string[] = [];
  const slow = Promise.withResolvers<void>();
  const note = (what: string) => async (): Promise<void> => void log.push(what);
  const all = [
    mutex.run(async () => {
      await slow.promise;
      log.push("running");
    }),
    mutex.run(note("request 1")),
    mutex.run(async () => {
      log.push("request 2");
      throw new RangeError("it went wrong");
    }),
    mutex.runFirst(note("deadline 1")),
    mutex.runFirst(note("deadline 2")),
  ];
  slow.resolve();
  const ends = await Promise.allSettled(all);
  t.same(log, ["running", "deadline 1", "deadline 2", "request 1", "request 2"]);
  t.same(
    ends.map(({ status }) => status),
    ["fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled"],
    "a failure rejects its own call only",
  );
  t.equal(await mutex.run(async () => 7), 7, "and it serves on");
});
