// The time of the next check of the certificate. [ID-9]
import { test } from "tap";
import { CHECK_MS_MAX, CHECK_MS_MIN, nextCheckInMs } from "../../../agent/identity/renewal-schedule.ts";

const NOW_MS = Date.UTC(2026, 5, 1);
const CURRENT = { notBeforeMs: NOW_MS - 10_000, notAfterMs: NOW_MS + 30_000 };

test("[ID-9] the certificate is checked on its next date, within a minute but never at once", async (t) => {
  const fresh = (renewAtMs: number) => nextCheckInMs({ at: "fresh", current: CURRENT, renewAtMs, jitter: 0 }, NOW_MS);
  t.equal(fresh(NOW_MS + 4000), 4000);
  t.equal(fresh(NOW_MS + 86_400_000), CHECK_MS_MAX, "the wall clock may step meanwhile");
  t.equal(fresh(NOW_MS - 5000), CHECK_MS_MIN, "a date that has passed is no reason to spin");

  const due = (retryAtMs: number) =>
    nextCheckInMs({ at: "due", current: CURRENT, retryAtMs, waitMs: 60_000, attempt: 3 }, NOW_MS);
  t.equal(due(NOW_MS + 2000), 2000);
  t.equal(due(NOW_MS + 50_000), 30_000, "it expires before the next attempt");

  t.equal(
    nextCheckInMs({ at: "proving", current: CURRENT, next: CURRENT }, NOW_MS),
    CHECK_MS_MAX,
    "the hub's answer ends the wait",
  );
  t.equal(nextCheckInMs({ at: "expired" }, NOW_MS), CHECK_MS_MAX);
});
