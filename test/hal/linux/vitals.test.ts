import { test } from "tap";
import { linuxVitals } from "../../../hal/linux/vitals.ts";

const MEMINFO = "MemTotal:         512000 kB\nMemFree:          300000 kB\nMemAvailable:     400000 kB\n";

test("the vital signs of a board have the units of their names", async (t) => {
  const root = t.testdir({ proc: { uptime: "12.34 20.00\n", loadavg: "0.10 0.05 0.01 1/80 400\n", meminfo: MEMINFO } });
  t.match(await linuxVitals(root).read(), {
    uptimeS: 12.34,
    load1: 0.1,
    memoryTotalBytes: 524_288_000,
    memoryAvailableBytes: 409_600_000,
    residentBytes: Number,
  });
});

test("the vital signs of this machine are plausible", async (t) => {
  const signs = await linuxVitals().read();
  t.ok(signs.uptimeS > 0);
  t.ok(signs.load1 >= 0);
  t.ok(signs.memoryAvailableBytes <= signs.memoryTotalBytes);
  t.ok(signs.residentBytes > 1_000_000 && signs.residentBytes < signs.memoryTotalBytes);
});

test("a /proc that is missing or unlike the kernel's is a fault that names the file", async (t) => {
  await t.rejects(linuxVitals(t.testdir()).read(), { code: "file.read-failed", message: /meminfo.*is \/proc mounted/ });
  const root = t.testdir({ proc: { uptime: "a while\n", loadavg: "0.10 0.05\n", meminfo: MEMINFO } });
  await t.rejects(linuxVitals(root).read(), { code: "file.read-failed", message: /\/proc\/uptime/ });
});
