// The contract of Clock. Times are compared only with the clock's own monotonic time, so no test
// depends on the speed of the machine.
import { getEventListeners } from "node:events";
import { test } from "tap";
import { linuxClock, createSimulatedClock } from "../../hal/linux/clock/index.ts";
import type { Clock, SettableClock } from "../../hal/ports.ts";
import { fakeClock } from "../lab/fakes/clock.ts";

/** A fake clock must be moved; the others move by themselves. */
interface Subject {
  readonly clock: Clock;
  /** Given only where setting the clock does not touch the machine. */
  readonly settable?: SettableClock;
  readonly letPass: (ms: number) => Promise<void>;
}

const subjects: Record<string, () => Subject> = {
  fakeClock: () => {
    const clock = fakeClock();
    return { clock, settable: clock, letPass: (ms) => clock.advance(ms) };
  },
  simulatedClock: () => {
    const clock = createSimulatedClock();
    return { clock, settable: clock, letPass: (ms) => clock.sleep(ms) };
  },
  linuxClock: () => {
    const clock = linuxClock();
    return { clock, letPass: (ms) => clock.sleep(ms) };
  },
};

for (const [name, make] of Object.entries(subjects)) {
  test(`${name}: a sleep ends when its time has passed, not before`, async (t) => {
    const { clock, letPass } = make();
    const start = clock.monotonicMs();
    const slept = clock.sleep(30).then(() => clock.monotonicMs() - start);
    await letPass(40);
    t.ok((await slept) >= 30);
  });

  test(`${name}: sleepers wake in the order of their times`, async (t) => {
    const { clock, letPass } = make();
    const woken: string[] = [];
    const sleepers = [clock.sleep(60).then(() => woken.push("late")), clock.sleep(10).then(() => woken.push("early"))];
    await letPass(70);
    await Promise.all(sleepers);
    t.strictSame(woken, ["early", "late"]);
  });

  test(`${name}: an abort ends a sleep without rejecting, before or during it`, async (t) => {
    const { clock } = make();
    await clock.sleep(3_600_000, AbortSignal.abort());
    const controller = new AbortController();
    const slept = clock.sleep(3_600_000, controller.signal);
    controller.abort();
    await slept;
    t.pass("both resolved");
  });

  test(`${name}: a signal used for many sleeps collects no listeners`, async (t) => {
    const { clock, letPass } = make();
    const { signal } = new AbortController();
    for (let i = 0; i < 5; i++) {
      const slept = clock.sleep(1, signal);
      await letPass(2);
      await slept;
    }
    t.equal(getEventListeners(signal, "abort").length, 0);
  });

  test(`${name}: without a delay there is no wait; a delay above 2^31 ms is not taken for none`, async (t) => {
    const { clock, letPass } = make();
    await clock.sleep(0);
    await clock.sleep(-5);
    const controller = new AbortController();
    let awake = false;
    const slept = clock.sleep(2 ** 31 + 10, controller.signal).then(() => (awake = true));
    await letPass(20);
    t.equal(awake, false);
    controller.abort();
    await slept;
  });

  test(`${name}: setting moves the wall clock in both directions, and neither the monotonic clock nor a sleep`, async (t) => {
    const { clock, settable, letPass } = make();
    if (settable === undefined) {
      t.pass("the machine's clock is left alone here: see test/hal/linux/clock");
      return;
    }
    const before = clock.monotonicMs();
    const slept = clock.sleep(30);
    for (const year of [1971, 2099, 2026]) {
      await settable.set(Date.UTC(year, 5, 1));
      t.equal(new Date(clock.nowMs()).getUTCFullYear(), year);
    }
    t.ok(clock.monotonicMs() - before < 3_600_000);
    await letPass(40);
    await slept;
    for (const bad of [Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY])
      await t.rejects(settable.set(bad), { code: "clock.set-failed" });
  });
}
