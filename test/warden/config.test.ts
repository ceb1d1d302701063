// The warden's configuration file as untrusted input.
import { test } from "tap";
import { CONFIG_BYTES_MAX, parseConfig } from "../../warden/config.ts";
import { faultOf } from "../lab/runner/faults.ts";

const parse = (text: string): ReturnType<typeof parseConfig> => parseConfig(Buffer.from(text), "warden.json");

test("an empty file gives the safe defaults, frozen", async (t) => {
  const config = parse("{}");
  t.match(config, {
    stateDirectory: "/var/lib/sallyport-warden",
    socket: "/run/sallyport/warden.sock",
    anchors: "/usr/share/sallyport/hub.json",
    boardRoot: "/",
    setClock: true,
    commissionedIdFile: "/boot/sallyport/device-id",
  });
  t.ok(config.audit.bytesMax > 0);
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.lockdown));
});

test("one message names every fault with its path and what was expected", async (t) => {
  const fault = await faultOf(() =>
    parse(
      JSON.stringify({
        stateDirectory: "relative",
        birthDirectory: "/a/../b",
        socket: `/${"s".repeat(107)}`,
        buildDate: "2026-02-31x",
        audit: { bytesMax: 1, keepForever: true },
        shell: "/bin/sh",
      }),
    ),
  );
  t.equal(fault.code, "config.invalid");
  for (const path of [
    "stateDirectory",
    "birthDirectory",
    "socket",
    "buildDate",
    "audit.bytesMax",
    "audit.keepForever",
    "shell",
    '"warden.json"',
  ])
    t.match(fault.message, path);
});

test("a file that is not a JSON object, or that is too long, is a fault of the configuration", async (t) => {
  for (const text of ["", "{", "[]", "null", '"/etc"', `{"stateDirectory":"/${"x".repeat(CONFIG_BYTES_MAX)}"}`])
    t.equal((await faultOf(() => parse(text))).code, "config.invalid", text.slice(0, 20));
});

test("the build date is the floor of the clock: an existing day or moment", async (t) => {
  t.equal(parse('{"buildDate":"2026-11-30"}').buildDateMs, Date.UTC(2026, 10, 30));
  t.equal(parse('{"buildDate":"2026-11-30T12:00:00Z"}').buildDateMs, Date.UTC(2026, 10, 30, 12));
  for (const date of ["2026-13-01", "yesterday", "2026"])
    t.equal((await faultOf(() => parse(JSON.stringify({ buildDate: date })))).code, "config.invalid");
});

test("a socket path of 107 bytes fits unix(7), and one of 108 does not", async (t) => {
  t.equal(parse(JSON.stringify({ socket: `/${"s".repeat(106)}` })).socket.length, 107);
  t.equal((await faultOf(() => parse(JSON.stringify({ socket: `/${"s".repeat(107)}` })))).code, "config.invalid");
});

test("[OTA-34] systemd-boot is chosen by its setting, and a trial gets two boots by default and three at most", async (t) => {
  t.equal(parse("{}").systemdBoot, undefined);
  t.same(parse('{"systemdBoot":{}}').systemdBoot, { esp: "/boot", tries: 2 });
  for (const tries of [0, 4, 1.5])
    t.equal((await faultOf(() => parse(JSON.stringify({ systemdBoot: { tries } })))).code, "config.invalid");
});
