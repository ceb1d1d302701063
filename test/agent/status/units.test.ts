import { test } from "tap";
import { counted, distance, duration, minute, size } from "../../../agent/status/units.ts";

test("durations have at most two units and are rounded down", async (t) => {
  const cases: readonly [number, string][] = [
    [-1, "0 s"],
    [0, "0 s"],
    [59.9, "59 s"],
    [60, "1 min"],
    [3599, "59 min"],
    [3600, "1 h"],
    [11_530, "3 h 12 min"],
    [86_399, "23 h 59 min"],
    [86_400, "1 d"],
    [800_000, "9 d 6 h"],
  ];
  for (const [seconds, text] of cases) t.equal(duration(seconds), text);
});

test("distances are in the future or in the past", async (t) => {
  t.equal(distance(60_000, 0), "in 1 min");
  t.equal(distance(0, 60_000), "1 min ago");
  t.equal(distance(0, 0), "in 0 s");
});

test("sizes are decimal and never show 1000 of a smaller unit", async (t) => {
  const cases: readonly [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [9949, "9.9 kB"],
    [9951, "10 kB"],
    [999_499, "999 kB"],
    [999_500, "1.0 MB"],
    [2 ** 53, "9.0 PB"],
  ];
  for (const [bytes, text] of cases) t.equal(size(bytes), text);
});

test("counts have a plural, and times have minutes", async (t) => {
  t.same([counted(0, "record"), counted(1, "record"), counted(2, "record")], ["0 records", "1 record", "2 records"]);
  t.equal(minute("2027-02-20T03:00:59.000Z"), "2027-02-20 03:00 UTC");
});
