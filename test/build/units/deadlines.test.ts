// What the units do for the warden's deadlines: it is watched, always started again, comes before
// the agent, and needs nothing that an agent can fill.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { WATCHDOG_S } from "../../../build/image/kernel.ts";
import { linuxWatchdog } from "../../../hal/linux/index.ts";
import { SILENCE_MS_MAX } from "../../../warden/install/index.ts";
import { openNotifySocket } from "../../lab/counterparts/notify-socket.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { settingsOf, unitNames, UNITS } from "../../lab/runner/units.ts";

const warden = settingsOf("sallyport-warden.service");
const agent = settingsOf("sallyport-agent.service");
/** What an emulated board takes at most, on a busy machine, in seconds. */
const EMULATED = { takeOverS: 40, upS: 75, unitS: 15, beatS: 45 } as const;
const value = (unit: string, name: string): string | undefined => new RegExp(`^${name}=(.*)$`, "mu").exec(unit)?.[1];

test("[OPS-11] systemd watches the warden's heartbeat and starts it again without a limit that somebody could use up", async (t) => {
  t.equal(value(warden, "WatchdogSec"), "180s");
  t.equal(value(warden, "NotifyAccess"), "all", "the heartbeat comes from a child");
  t.equal(value(warden, "Restart"), "always");
  t.equal(value(warden, "StartLimitIntervalSec"), "0");
  t.equal(value(warden, "StartLimitBurst"), undefined);
  t.match(value(warden, "RestartSec"), /^\d+s$/u, "a pause, so that a warden that cannot start leaves the machine to others");
  t.equal(value(warden, "OnFailure"), "sallyport-failed@%n.service", "each failure is said on the console");
});

test("[LCK-15] however the warden ends, a policy on trial goes out of force, by a script that is there", async (t) => {
  t.equal(value(warden, "ExecStopPost"), "-/usr/lib/sallyport/end-policy-trial");
  const script = join(UNITS, "usr/lib/sallyport/end-policy-trial");
  t.equal((await stat(script)).mode & 0o111, 0o111);
  t.match(await readFile(script, "utf8"), /^#!\/bin\/sh\n/u);
});

test("[OPS-11] the warden has a bound of memory, and comes before the agent in processor and disk", async (t) => {
  const heapMiB = Number(/ --max-old-space-size=(\d+) /u.exec(value(warden, "ExecStart") ?? "")?.[1]);
  const memoryMiB = Number(/^(\d+)M$/u.exec(value(warden, "MemoryMax") ?? "")?.[1]);
  t.ok(heapMiB * 3 <= memoryMiB, `a heap of ${heapMiB} MiB in ${memoryMiB} MiB, with the rest of Node and what it starts`);
  for (const weight of ["CPUWeight", "IOWeight"]) {
    const [ours, theirs] = [Number(value(warden, weight)), Number(value(agent, weight))];
    t.ok(ours > 100 && theirs < 100, `${weight}: ${ours} and ${theirs}, where all others have 100`);
  }
});

test("[OPS-11] neither program's socket lies in a file system that the agent can fill", async (t) => {
  const places = { warden: "run-sallyport.mount", agent: "run-sallyport\\x2dagent.mount" } as const;
  for (const [name, unit, where] of [
    ["warden", places.warden, "/run/sallyport"],
    ["agent", places.agent, "/run/sallyport-agent"],
  ] as const) {
    const settings = settingsOf(unit);
    t.equal(value(settings, "Type"), "tmpfs", name);
    t.equal(value(settings, "Where"), where);
    t.match(value(settings, "Options"), /\bsize=64k,nr_inodes=16\b/u, "small: the agent may fill its own");
    t.match(value(name === "warden" ? warden : agent, "RequiresMountsFor"), new RegExp(`${where}(?: |$)`, "u"));
  }
  t.equal(value(agent, "RuntimeDirectory"), "sallyport-agent");
  t.equal(value(agent, "RuntimeDirectoryPreserve"), "yes");
  t.equal(value(warden, "RuntimeDirectory"), undefined);
});

test(
  "[OPS-11] the heartbeat reaches the socket that systemd names, not more often than needed, and nowhere without one",
  { skip: needs("perl", "systemd-notify") },
  async (t) => {
    const socket = join(await temporaryDirectory(t), "notify");
    const receiver = await openNotifySocket(socket);
    t.teardown(() => receiver.stop());
    const said: string[] = [];
    const log = (line: string): void => void said.push(line);
    const beat = linuxWatchdog(log, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "3600000000" });
    for (let n = 0; n < 5; n += 1) beat();
    await eventually("the heartbeat", async () => (receiver.count("WATCHDOG=1") > 0 ? true : undefined));
    for (let n = 0; n < 5; n += 1) beat();
    const quick = linuxWatchdog(log, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "1" });
    await eventually("further ones", async () => {
      quick();
      return receiver.count("WATCHDOG=1") > 2 ? true : undefined;
    });
    t.same(said, []);
    for (const env of [{}, { NOTIFY_SOCKET: socket }, { WATCHDOG_USEC: "1" }, { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "0" }])
      linuxWatchdog(log, env)();
    const gone = linuxWatchdog(log, { NOTIFY_SOCKET: `${socket}-gone`, WATCHDOG_USEC: "1" });
    gone();
    await eventually("the trouble", async () => (said.length > 0 ? true : undefined));
    t.match(said, [/^trouble: process\.failed: send the watchdog's heartbeat: /u]);
  },
);

test("[OPS-28] no program of the device has a limit of starts that somebody could use up, and none is away for long", async (t) => {
  const restarting = unitNames().filter((name) => name.endsWith(".service") && value(settingsOf(name), "Restart") !== undefined);
  t.same(restarting, ["sallyport-agent.service", "sallyport-warden.service"], "the others run once, or are started by these");
  for (const name of [...restarting, "systemd-networkd.service.d/10-sallyport.conf"]) {
    const unit = settingsOf(name);
    const seconds = (setting: string): number => Number(/^(\d+)s$/u.exec(value(unit, setting) ?? "")?.[1] ?? Number.NaN);
    t.equal(value(unit, "StartLimitIntervalSec"), "0", name);
    t.equal(value(unit, "StartLimitBurst"), undefined, name);
    t.ok(seconds("RestartSec") >= 1 && seconds("RestartSec") <= 10, `${name}: a pause, and a short one`);
    if (value(unit, "RestartSteps") !== undefined)
      t.ok(seconds("RestartMaxDelaySec") > seconds("RestartSec") && seconds("RestartMaxDelaySec") <= 10, name);
  }
  for (const name of unitNames().filter((one) => one.endsWith(".service"))) {
    const unit = settingsOf(name);
    if (value(unit, "OnFailure") === undefined || restarting.includes(name)) continue;
    t.match(settingsOf("sallyport-failed@.service"), /systemctl reset-failed/u, `${name}: started again without its limit`);
  }
  const sockets = unitNames().filter((name) => name.endsWith(".socket"));
  t.same(sockets, ["sallyport-install.socket"]);
  for (const name of sockets) {
    t.equal(value(settingsOf(name), "TriggerLimitIntervalSec"), "0", name);
    t.match(value(settingsOf(name), "MaxConnections"), /^\d$/u);
  }
});

/** systemd.time(7), as far as our units use it. */
const secondsOf = (text = ""): number => {
  const [, count, unit = "s"] = /^(\d+)(s|min)?$/u.exec(text) ?? [];
  return Number(count) * (unit === "min" ? 60 : 1);
};

test("[OTA-80] [OTA-82] no time limit of a boot is short for a board that is four times slower than an emulated one", async (t) => {
  const manager = await readFile(join(UNITS, "usr/lib/systemd/system.conf.d/10-sallyport.conf"), "utf8");
  t.equal(value(manager, "RuntimeWatchdogSec"), `${WATCHDOG_S}s`, "as on the command line, for a system without that");
  t.ok(WATCHDOG_S >= 4 * EMULATED.takeOverS, "from the initrd to systemd");
  for (const name of ["DefaultDeviceTimeoutSec", "DefaultTimeoutStartSec"])
    t.ok(secondsOf(value(manager, name)) >= 4 * EMULATED.upS, name);
  const started = unitNames().flatMap((name) => {
    if (!name.endsWith(".service")) return [];
    const limit = value(settingsOf(name), "TimeoutStartSec");
    return limit === undefined ? [] : [[name, secondsOf(limit)] as const];
  });
  t.ok(started.length > 4, "control: there are such limits");
  for (const [name, limit] of started) t.ok(limit >= 4 * EMULATED.unitS, `${name} has ${limit} s`);
  t.ok(secondsOf(value(settingsOf("sallyport-trial.timer"), "OnBootSec")) >= 4 * EMULATED.upS, "the trial");
  t.ok(secondsOf(value(warden, "WatchdogSec")) >= 4 * EMULATED.beatS, "the warden's heartbeat");
  t.ok(SILENCE_MS_MAX >= 4 * 60_000, "an installer that says nothing");
});
