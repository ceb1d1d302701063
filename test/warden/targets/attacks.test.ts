// Files from a captured agent, a bad mirror or a stolen signing key: they are refused and recorded
// once, and what was trusted before still is.
import { execFileSync } from "node:child_process";
import { mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type Test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { linuxHandoverReader, linuxHandoverWriter, linuxFiles } from "../../../hal/linux/index.ts";
import { handoverName } from "../../../ota/fetch/index.ts";
import { crashDisk, crashStates, restore } from "../../lab/fakes/crash-disk.ts";
import { faultOf } from "../../lab/runner/faults.ts";
import { policyBytes } from "../../lab/worlds/lockdown.ts";
import { daysFromNow, labCustom, labKey, NOW_MS, signed } from "../../lab/counterparts/repository.ts";
import { brought, OTHER_DEVICE, refreshed, rosterText, type TargetsRig, targetsRig } from "../../lab/worlds/targets.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import type { TargetService } from "../../../warden/targets/index.ts";

const POLICY = Buffer.from(policyBytes()).toString();

/** A device that trusts version 2 of everything, including a policy and a roster. */
async function settled(): Promise<{ readonly rig: TargetsRig; readonly targets: TargetService }> {
  const rig = targetsRig();
  rig.repository.addTarget("os", "os/gateway-4", "four", labCustom({ line: "os", counter: 4 }));
  rig.repository.addTarget("policy", "policy/one", POLICY, labCustom({ line: "policy", counter: 5 }));
  rig.repository.addTarget("operators", "operators/one", rosterText({ tenant: "acme" }), labCustom({ line: "operators" }));
  rig.repository.publish("os", "policy", "operators");
  const targets = await rig.open();
  await refreshed(rig, targets);
  rig.entries.length = 0;
  return { rig, targets };
}

/** A good timestamp may be trusted before the metadata that it leads to is refused. */
function stored({ files }: TargetsRig): ReadonlyMap<string, Uint8Array> {
  return new Map([...files.contents].filter(([name]) => name !== "timestamp.json"));
}

/**
 * Runs a cycle twice that must be refused with `code`: there is one record, and the store is
 * unchanged.
 */
async function refusedFor(t: Test, rig: TargetsRig, targets: TargetService, code: string, what: string): Promise<void> {
  const before = stored(rig);
  for (let n = 0; n < 2; n++) {
    const fault = await faultOf(() => refreshed(rig, targets));
    t.equal(fault.code, code, `${what}: ${fault.message}`);
  }
  t.match(rig.events("trust.refused"), [{ result: "refused", detail: { code } }], `${what}: recorded once`);
  t.match(targets.troubles(), [{ code }]);
  t.same(stored(rig), before, `${what}: the store is as it was`);
  t.equal(targets.policy()?.counter, 5);
  t.equal(targets.roster()?.tenant, "acme");
}

const ATTACKS: readonly { readonly what: string; readonly code: string; readonly act: (rig: TargetsRig) => void }[] = [
  {
    what: "a timestamp signed by another key",
    code: "trust.bad-signature",
    act: ({ repository }) => {
      repository.signers.set("timestamp", [labKey()]);
      repository.publish("timestamp");
    },
  },
  {
    what: "a root signed by another key",
    code: "trust.bad-signature",
    act: ({ repository }) => {
      repository.root.version = 2;
      repository.files.set("2.root.json", signed(repository.root, [labKey()]));
    },
  },
  {
    what: "an earlier timestamp",
    code: "trust.rollback",
    act: ({ repository }) => {
      repository.timestamp.version = 1;
      repository.serve("timestamp");
    },
  },
  {
    what: "a snapshot that reverts a role",
    code: "trust.rollback",
    act: ({ repository }) => {
      repository.roleOf("policy").version = 0;
      repository.publish("policy");
    },
  },
  {
    what: "an expired timestamp",
    code: "trust.expired",
    act: ({ repository }) => {
      repository.timestamp.expires = daysFromNow(-1);
      repository.publish("timestamp");
    },
  },
  {
    what: "half a timestamp",
    code: "trust.invalid",
    act: ({ repository }) => {
      const whole = repository.files.get("timestamp.json") ?? new Uint8Array();
      repository.files.set("timestamp.json", whole.subarray(0, whole.byteLength / 2));
    },
  },
  {
    what: "a timestamp without end",
    code: "trust.too-large",
    act: ({ repository }) => void repository.files.set("timestamp.json", Buffer.alloc(40_000, " ")),
  },
];

for (const { what, code, act } of ATTACKS)
  test(`[OTA-40] ${what} is refused, recorded once, and changes nothing`, async (t) => {
    const { rig, targets } = await settled();
    act(rig);
    await refusedFor(t, rig, targets, code, what);
  });

test("[OTA-40] a role that cannot be trusted delays no other; it is recorded and reported as a trouble", async (t) => {
  const { rig, targets } = await settled();
  const { repository } = rig;
  repository.addTarget("os", "os/gateway-6", "six", labCustom({ line: "os", counter: 6 }));
  repository.addTarget("policy", "policy/two", POLICY, labCustom({ line: "policy", counter: 6 }));
  repository.signers.set("policy", [labKey()]);
  repository.publish("os", "policy");
  t.match((await refreshed(rig, targets)).offers, [{ line: "operators" }, { line: "os", counter: 6 }]);
  t.match(rig.events("trust.refused"), [{ detail: { code: "trust.bad-signature" } }]);
  t.equal(targets.policy()?.counter, 5);
  t.match(targets.troubles(), [{ code: "trust.bad-signature" }]);
});

test("[OPS-8] [OTA-40] targets for another device, tenant, hardware or line are not for this device and are recorded once for each reason", async (t) => {
  const { rig, targets } = await settled();
  const { repository } = rig;
  const foreign: readonly [string, string, unknown][] = [
    ["policy/a-other", "audience", labCustom({ line: "policy", counter: 9, audience: { devices: [OTHER_DEVICE] } })],
    ["policy/b-tenant", "audience", labCustom({ line: "policy", counter: 9, audience: { tenant: "evil", everyone: true } })],
    ["policy/c-hardware", "hardware", labCustom({ line: "policy", counter: 9, hardware: { ids: ["lab-2"] } })],
    ["policy/d-line", "line", labCustom({ line: "os", counter: 9 })],
    ["policy/e-none", "custom", undefined],
    ["policy/f-more", "custom", { ...labCustom({ line: "policy", counter: 9 }), admin: true }],
  ];
  for (const [path, , custom] of foreign) repository.addTarget("policy", path, POLICY, custom);
  repository.publish("policy");
  for (let n = 0; n < 2; n++) await refreshed(rig, targets);
  t.equal(targets.policy()?.target, "policy/one");
  t.same(
    rig.events("target.refused").map(({ detail }) => [detail?.["reason"], detail?.["target"], detail?.["more"]]),
    [
      ["audience", "policy/a-other", 1],
      ["hardware", "policy/c-hardware", 0],
      ["line", "policy/d-line", 0],
      ["custom", "policy/e-none", 1],
    ],
  );
  rig.entries.length = 0;
  for (const [path, reason] of foreign) {
    t.equal((await faultOf(() => brought(rig, (absent) => targets.find(path, absent)))).code, "update.refused", path);
    t.match(rig.events("target.refused").at(-1), { detail: { target: path, code: reason } });
  }
  rig.floors.set("os", 7);
  t.equal((await faultOf(() => brought(rig, (absent) => targets.find("os/gateway-4", absent)))).code, "floor.below");
  t.equal((await faultOf(() => brought(rig, (absent) => targets.find("os/gateway-0", absent)))).code, "trust.missing");
});

test("[OTA-40] payloads that differ from what was signed are not stored and delay nothing", async (t) => {
  const { rig, targets } = await settled();
  rig.repository.addTarget("policy", "policy/two", POLICY, labCustom({ line: "policy", counter: 6 }));
  rig.repository.publish("policy");
  const { served } = rig;
  const lying = {
    ...rig,
    served: (path: string) => (path.startsWith("targets/") ? Buffer.from(POLICY.replace("8080", "8081")) : served(path)),
  };
  const { answer } = await brought(lying, (absent) => targets.refresh(absent));
  t.match(answer, { offers: [{ line: "operators" }, { line: "os" }] }, "a policy that is not stored is not offered");
  t.equal(targets.policy()?.counter, 5);
  t.match(rig.events("target.refused"), [{ detail: { target: "policy/two", code: "trust.mismatch" } }]);
  await refreshed(rig, targets);
  t.equal(targets.policy()?.counter, 6, "a complete one is stored");
  t.same(targets.troubles(), []);
});

test("[OTA-40] while the clock is not set no new metadata is judged, and no file is wanted", async (t) => {
  const { rig, targets } = await settled();
  rig.clockTrusted = false;
  t.match(await faultOf(() => targets.refresh([])), { code: "trust.expired", message: /clock is not set/u });
  t.equal((await faultOf(() => targets.find("os/gateway-4", []))).code, "trust.expired");
  t.equal(targets.policy()?.counter, 5);
  t.same(rig.entries, []);
});

test("[OTA-40] floors that cannot be read stop releases, but not policies and rosters", async (t) => {
  const { rig } = await settled();
  const targets = await rig.open({
    floors: () => {
      throw new Fault("floor.invalid", "as planned");
    },
  });
  rig.repository.addTarget("policy", "policy/two", POLICY, labCustom({ line: "policy", counter: 6 }));
  rig.repository.publish("policy");
  t.match(
    (await refreshed(rig, targets)).offers.map(({ line }) => line),
    ["operators", "policy"],
  );
  t.equal(targets.policy()?.counter, 6);
  t.equal((await faultOf(() => targets.find("os/gateway-4", []))).code, "floor.invalid");
  t.match(targets.troubles(), [{ code: "floor.invalid" }]);
});

test("[OTA-40] a flood of requests is limited and does not fill the log", async (t) => {
  const { rig, targets } = await settled();
  let asked = 0;
  for (let code = ""; code !== "protocol.rate-limited"; asked += 1) {
    rig.dropped.set(handoverName("metadata/timestamp.json"), Buffer.from(`{"lie": ${asked}`.padEnd(40 + asked)));
    code = (await faultOf(() => targets.refresh(["metadata/2.root.json"]))).code;
  }
  t.ok(asked < 400, `${asked} requests`);
  t.ok(rig.entries.length <= 16, `${rig.entries.length} records`);
});

test("[OTA-40] [OTA-32] a link, a pipe, a directory or a huge file in a file's place is refused, and no file outside is read", async (t) => {
  const directory = await temporaryDirectory(t);
  const place = join(directory, "handover");
  const drop = await linuxHandoverWriter(place);
  await using handover = await linuxHandoverReader(place);
  const rig = targetsRig();
  const targets = await rig.open({ handover });
  const wanted = await targets.refresh(["metadata/2.root.json"]);
  t.match(wanted, { state: "wanted", path: "metadata/timestamp.json", handoverName: handoverName("metadata/timestamp.json") });
  const name = join(place, handoverName("metadata/timestamp.json"));
  const timestamp = rig.served("metadata/timestamp.json") ?? new Uint8Array();
  await writeFile(join(directory, "right"), timestamp);
  const hostile: readonly [string, string, () => Promise<unknown>][] = [
    ["a link, even to the right content", "file.not-regular", () => symlink(join(directory, "right"), name)],
    ["a pipe", "file.not-regular", async () => execFileSync("mkfifo", [name])],
    ["a directory", "file.not-regular", () => mkdir(name)],
    ["a terabyte", "file.too-large", () => writeFile(name, "").then(() => truncate(name, 2 ** 40))],
  ];
  for (const [what, code, make] of hostile) {
    await make();
    t.equal((await faultOf(() => targets.refresh(["metadata/2.root.json"]))).code, code, what);
    execFileSync("rm", ["-rf", name]);
  }
  t.same(
    rig.events("trust.refused").map(({ detail }) => detail?.["code"]),
    ["file.not-regular", "file.not-regular", "file.too-large"],
    "each cause is recorded once",
  );
  await drop.put(handoverName("metadata/timestamp.json"), timestamp);
  t.match(await targets.refresh(["metadata/2.root.json"]), { state: "wanted", path: "metadata/1.snapshot.json" });
});

test("[OTA-40] [OPS-8] after a power cut at any durable operation of a cycle the policy and the roster are the old or the new ones, and cycles go on", async (t) => {
  const directory = await temporaryDirectory(t);
  const again = await temporaryDirectory(t);
  const rig = targetsRig();
  const publish = (counter: number): void => {
    rig.repository.addTarget(
      "policy",
      `policy/p${counter}`,
      POLICY + " ".repeat(counter),
      labCustom({ line: "policy", counter }),
    );
    rig.repository.addTarget(
      "operators",
      `operators/r${counter}`,
      rosterText({ tenant: `t${counter}` }),
      labCustom({ line: "operators", counter }),
    );
    rig.repository.publish("policy", "operators");
  };
  const disk = crashDisk(directory);
  const targets = await rig.open({ files: await linuxFiles(directory, disk.ops) });
  publish(1);
  await refreshed(rig, targets);
  const before = disk.changes.length;
  publish(2);
  await refreshed(rig, targets);
  t.equal(rig.clock.nowMs(), NOW_MS);
  let states = 0;
  for (let cut = before; cut <= disk.changes.length; cut += 3)
    for (const state of crashStates(disk.changes.slice(0, cut))) {
      states += 1;
      restore(state, again);
      const rebooted = await rig.open({ files: await linuxFiles(again) });
      const [policy, tenant] = [rebooted.policy()?.counter, rebooted.roster()?.tenant];
      if (policy === undefined || tenant === undefined || rebooted.troubles().length > 0)
        t.fail(`cut ${cut}: policy ${policy}, tenant ${tenant}, ${rebooted.troubles()[0]?.message}`);
      // the next cycle is run for half of them
      if (cut < disk.changes.length && cut % 2 === 0) continue;
      await refreshed(rig, rebooted);
      if (rebooted.policy()?.counter !== 2 || rebooted.roster()?.tenant !== "t2") t.fail(`cut ${cut}: the next cycle failed`);
    }
  t.ok(states > 20, `${states} states`);
});
