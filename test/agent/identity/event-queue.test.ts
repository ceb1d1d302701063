// The queue of identity events: order, duplicates, and the end of a wait.
import { test } from "tap";
import { createEventQueue } from "../../../agent/identity/event-queue.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";

test("events come in order, an event that waits already is not queued twice, and a wait without events ends", async (t) => {
  const clock = fakeClock();
  const queue = createEventQueue<"a" | "b">(clock);
  const never = new AbortController().signal;
  for (const event of ["a", "b", "a"] as const) queue.put(event);
  t.same([await queue.next(10, never), await queue.next(10, never)], ["a", "b"]);
  const third = queue.next(10, never);
  await clock.advance(10);
  t.equal(await third, undefined);
});

test("an event ends a wait, and so does the signal", async (t) => {
  const clock = fakeClock();
  const queue = createEventQueue<"a">(clock);
  const ended = new AbortController();
  const waiting = queue.next(60_000, ended.signal);
  queue.put("a");
  t.equal(await waiting, "a");
  const last = queue.next(60_000, ended.signal);
  ended.abort();
  t.equal(await last, undefined);
});
