// News for one reader.
import { test } from "tap";
import { createEventQueue } from "../../../agent/identity/event-queue.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";

test("news comes in order, the same news twice is one, and nothing comes when nothing was put", async (t) => {
  const clock = fakeClock();
  const box = createEventQueue<"a" | "b">(clock);
  const never = new AbortController().signal;
  for (const news of ["a", "b", "a"] as const) box.put(news);
  t.same([await box.next(10, never), await box.next(10, never)], ["a", "b"]);
  const third = box.next(10, never);
  await clock.advance(10);
  t.equal(await third, undefined);
});

test("who waits is woken by news and by the end", async (t) => {
  const clock = fakeClock();
  const box = createEventQueue<"a">(clock);
  const ended = new AbortController();
  const waiting = box.next(60_000, ended.signal);
  box.put("a");
  t.equal(await waiting, "a");
  const last = box.next(60_000, ended.signal);
  ended.abort();
  t.equal(await last, undefined);
});
