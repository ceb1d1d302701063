import { test } from "tap";
import { reopenDelayMs } from "../../../agent/console/console.ts";

test("[CON-2] the wait before the port is opened again doubles up to a minute, and resets only after a lasting connection", async (t) => {
  const waits: number[] = [250];
  while (waits.length < 11) waits.push(reopenDelayMs(waits.at(-1) ?? 0, 100));
  t.same(waits.slice(1), [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  t.equal(reopenDelayMs(60_000, 9_999), 60_000);
  t.equal(reopenDelayMs(60_000, 10_000), 500);
});
