// Every state file of the warden, damaged in seven ways: it starts, says what is wrong, and keeps
// what can still be believed.
import { cpSync, readdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { canonicalJson, type JsonValue } from "../../hal/format/json.ts";
import { fatFiles, linuxAppendFiles, linuxFiles } from "../../hal/linux/files/index.ts";
import { isBirthRecorded } from "../../warden/identity/index.ts";
import { hubTime } from "../lab/counterparts/hub-signer.ts";
import { labCustom } from "../lab/counterparts/repository.ts";
import { MUTATIONS } from "../lab/fakes/damage.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { lockdownOrder, policyBytes } from "../lab/worlds/lockdown.ts";
import { DEVICE, operatorKey, rosterText } from "../lab/worlds/targets.ts";
import { broughtTo, type WardenAnswer, type WardenFiles, wholeWarden } from "../lab/worlds/whole-warden.ts";

const KEY = `sha256:${"ab".repeat(32)}`;

async function filesIn(directory: string): Promise<WardenFiles & AsyncDisposable> {
  const state = await linuxFiles(directory);
  const audit = await linuxAppendFiles(join(directory, "audit"));
  return {
    state,
    audit,
    birth: await fatFiles(join(directory, "birth"), { wasThere: () => isBirthRecorded(state) }),
    targets: await linuxFiles(join(directory, "targets")),
    lockdown: await linuxFiles(join(directory, "lockdown")),
    update: await linuxFiles(join(directory, "update")),
    [Symbol.asyncDispose]: () => audit[Symbol.asyncDispose](),
  };
}

/** What a warden still has to know after one of its files was damaged, whichever it was. */
function survives(file: string, status: WardenAnswer["result"], identity: WardenAnswer): Readonly<Record<string, boolean>> {
  const text = JSON.stringify(status);
  return {
    // a digit of a fingerprint that became another digit cannot be told from a right one
    identity: file.startsWith("birth/")
      ? identity.fault?.code === "birth.unreadable" || !JSON.stringify(identity).includes(KEY)
      : JSON.stringify(identity).includes(KEY),
    policy: file === "lockdown/lockdown.json" || /"at":"confirmed","counter":2/u.test(text),
    update: file === "update/update.json" ? /"phase":"(?:failed|committed)"/u.test(text) : /"phase":"committed"/u.test(text),
    audit: !/"size":0/u.test(text),
  };
}

test("[STA-4] [OTA-8] [LCK-1] [AUD-10] each state file of the warden in seven mutations", async (t) => {
  const world = wholeWarden(t, DEVICE);
  const { repository } = world;
  const roster = rosterText({ operators: [{ id: "ada", roles: ["owner"], keys: [operatorKey().text] }] });
  repository.addTarget("operators", "operators/roster-1", roster, labCustom({ line: "operators" }));
  repository.addTarget(
    "policy",
    "policy/plant-2",
    Buffer.from(policyBytes()).toString(),
    labCustom({ line: "policy", counter: 2 }),
  );
  repository.publish("operators", "policy");
  const root = await temporaryDirectory(t);
  const healthy = join(root, "healthy");
  await mkdir(healthy);
  {
    await using files = await filesIn(healthy);
    const put = (name: string, value: JsonValue): Promise<void> => files.update.put(name, Buffer.from(canonicalJson(value)));
    const release = { target: "os/gw-2.json", digest: "7".repeat(64), line: "os", counter: 2, floorAfterCommit: 1 };
    await put("floors.json", { v: 1, serial: 1, lines: { os: { committed: 2, floor: 1 } } });
    await put("update.json", { v: 1, phase: { at: "committed", release, slot: "a" }, quarantined: [] });
    await put("approved.json", { v: 1, digest: "7".repeat(64) });
    await files.state.put("audit-pending.json", Buffer.from(canonicalJson({ v: 1, dropped: 0, droppedTotal: 5 })));
    const warden = await world.start(files);
    await warden.ask("birth.record", { protection: "file", keyFingerprint: KEY });
    const nonce = String((await warden.ask("time.nonce", {})).result?.["nonce"]);
    await warden.ask("time.set", hubTime(world.hub.time, DEVICE, nonce, world.clock.nowMs()));
    await broughtTo(world, warden, "trust.refresh", {});
    await warden.ask("lockdown.propose", {});
    const { result } = await warden.ask("order.nonce", { verb: "lockdown.confirm" });
    const trial = { nonce: String(result?.["nonce"]), planHash: String(result?.["planHash"]) };
    const order = Buffer.from(lockdownOrder(trial, { notAfter: "2037-01-01T00:00:00.000Z" })).toString();
    t.match(await warden.ask("order.submit", { verb: "lockdown.confirm", order }), { result: {} });
    await warden.stop();
  }
  const names = readdirSync(healthy, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(healthy.length + 1));
  for (const name of ["birth/birth.json", "lockdown/lockdown.json", "update/floors.json", "targets/policy.taken", "clock.json"])
    t.ok(names.includes(name), name);
  for (const name of names)
    for (const [what, mutate] of Object.entries(MUTATIONS)) {
      const title = `${name}, ${what}`;
      const directory = join(root, title.replaceAll(/[^a-z0-9.]+/giu, "-"));
      cpSync(healthy, directory, { recursive: true });
      await mutate(join(directory, name));
      await using files = await filesIn(directory);
      const warden = await world.start(files);
      const { result: status } = await warden.ask("status.read", {});
      const identity = await warden.ask("identity.read", {});
      const kept = survives(name, status, identity);
      for (const [aspect, holds] of Object.entries(kept))
        if (!holds) t.fail(`${title}: ${aspect}: ${JSON.stringify([status, identity])}`);
      const isOther = !["a flipped bit", "truncated", "empty"].includes(what);
      if (isOther && !name.startsWith("audit/"))
        t.match(JSON.stringify(status?.["troubles"] ?? "none"), /file\.|birth\.|audit\./u, title);
      await broughtTo(world, warden, "trust.refresh", {});
      await warden.stop();
      t.pass(title);
    }
});
