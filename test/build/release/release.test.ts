import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { test } from "tap";
import * as v from "valibot";
import { addTarget } from "../../../build/release/add.ts";
import { initialise } from "../../../build/release/init.ts";
import { publish } from "../../../build/release/publish.ts";
import { signChanges } from "../../../build/release/sign.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { checkTarget, type Fetch, judgeTarget, openTrustStore, targetFileName, timeFloor } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { NOW_MS } from "../../lab/counterparts/repository.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const AT = { nowMs: NOW_MS };
const EVERYONE = { line: "os", hardware: { any: true }, audience: { everyone: true } } as const;

function fetchFrom(to: string): Fetch {
  return async (name) =>
    await readFile(join(to, "metadata", name)).catch((error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    });
}

function filesBelow(directory: string): readonly string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.filter((name) => statSync(join(directory, name)).isFile()).sort();
}

/**
 * Makes it impossible to write `path`: neither can a file take the place of a directory, nor can
 * the directory be set aside. [STA-4]
 * @returns what makes it possible again.
 */
function block(path: string): () => void {
  const both = [path, join(dirname(path), `.aside-${basename(path)}`)];
  for (const each of both) mkdirSync(join(each, "in-the-way"), { recursive: true });
  return () => both.forEach((each) => rmSync(each, { recursive: true }));
}

async function made(t: Parameters<typeof temporaryDirectory>[0]) {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, "release");
  const to = join(directory, "www");
  const file = join(directory, "file");
  writeFileSync(file, "an image");
  await initialise(dir, NOW_MS);
  const image = readFileSync(join(dir, "repository/metadata/1.root.json"));
  return { dir, to, file, image };
}

test("[OTA-14] [OTA-11] a device accepts a release that is for it, and no other", async (t) => {
  const { dir, to, file, image } = await made(t);
  await addTarget(dir, "os/gateway-2.json", file, EVERYONE);
  await addTarget(dir, "policy/gw-1.json", file, {
    line: "policy",
    counter: 4,
    hardware: { ids: ["acme-gw-a"] },
    audience: { devices: ["gw-1"] },
  });
  await signChanges(dir, [], NOW_MS);
  await publish(dir, to, AT);

  const store = await openTrustStore(fakeFiles(), image);
  const catalogue = await store.refresh({ fetch: fetchFrom(to), nowMs: NOW_MS });
  const { targets, faults, trusted } = await catalogue.list();
  t.same(faults, []);
  t.same(targets.map(({ path }) => path).sort(), ["os/gateway-2.json", "policy/gw-1.json"]);
  t.equal(timeFloor(trusted, 0, Number.MAX_SAFE_INTEGER), NOW_MS);
  for (const target of targets) checkTarget(target, readFileSync(join(to, "targets", targetFileName(store.trusted, target))));

  const device = { hardware: "acme-gw-a", tenant: undefined, groups: [], floors: new Map<string, number>() };
  const judge = (id: string) => targets.map((target) => judgeTarget(target, { ...device, id: v.parse(deviceIdSchema, id) }).kind);
  t.same(judge("gw-1"), ["accepted", "accepted"]);
  t.same(judge("gw-2"), ["accepted", "refused"]);
});

test("[OTA-14] successive releases: versions and counters grow, and devices follow", async (t) => {
  const { dir, to, file, image } = await made(t);
  const store = await openTrustStore(fakeFiles(), image);
  for (const release of [1, 2, 3]) {
    writeFileSync(file, `image ${release}`);
    const { custom } = await addTarget(dir, `os/gateway-${release}.json`, file, EVERYONE);
    t.equal(custom.counter, release);
    await signChanges(dir, [], NOW_MS + release * 1000);
    await publish(dir, to, AT);
    const catalogue = await store.refresh({ fetch: fetchFrom(to), nowMs: NOW_MS });
    t.match(await catalogue.find(`os/gateway-${release}.json`), { file: { custom: { counter: release } } });
  }
  t.match(await store.stored.find("os/gateway-1.json"), { role: "os" }, "earlier targets stay");
});

test("[OTA-20] a publish that is interrupted at any file leaves the previous state for readers, and can continue", async (t) => {
  const { dir, to, file, image } = await made(t);
  await addTarget(dir, "os/1", file, EVERYONE);
  await signChanges(dir, [], NOW_MS);
  await publish(dir, to, AT);
  const before = filesBelow(to);
  writeFileSync(file, "another image");
  await addTarget(dir, "os/2", file, EVERYONE);
  await signChanges(dir, ["root", "targets", "os"], NOW_MS);
  const fresh = filesBelow(join(dir, "repository")).filter((name) => !before.includes(name) && !name.startsWith("metadata/1."));
  t.equal(fresh.length, 5, "target, root, targets, os, snapshot");

  for (const name of fresh) {
    rmSync(join(to, name), { force: true }); // of the round before, which came further
    const unblock = block(join(to, name));
    await t.rejects(publish(dir, to, AT), { code: "release.store-failed" }, name);
    unblock();
    const store = await openTrustStore(fakeFiles(), image);
    const catalogue = await store.refresh({ fetch: fetchFrom(to), nowMs: NOW_MS });
    t.match(await catalogue.find("os/1"), { role: "os" }, `${name}: the state before`);
    t.equal(await catalogue.find("os/2"), undefined);
  }
  t.notOk(
    filesBelow(to).some((name) => name.includes(".new-")),
    "no temporary file is left",
  );
  await publish(dir, to, AT);
  const store = await openTrustStore(fakeFiles(), image);
  t.match(await (await store.refresh({ fetch: fetchFrom(to), nowMs: NOW_MS })).find("os/2"), { role: "os" });
});

test("[OTA-14] a sign that is interrupted at any file leaves the repository as it was, and can continue", async (t) => {
  const { dir, to, file, image } = await made(t);
  await addTarget(dir, "os/1", file, EVERYONE);
  for (const name of ["2.targets.json", "2.os.json", "2.snapshot.json"]) {
    const path = join(dir, "repository/metadata", name);
    const unblock = block(path);
    await t.rejects(signChanges(dir, ["targets", "os"], NOW_MS), { code: "release.store-failed" }, name);
    unblock();
    await publish(dir, to, { ...AT, withoutDrafts: true });
    const store = await openTrustStore(fakeFiles(), image);
    t.equal(await (await store.refresh({ fetch: fetchFrom(to), nowMs: NOW_MS })).find("os/1"), undefined);
  }
  await signChanges(dir, ["targets", "os"], NOW_MS);
  await publish(dir, to, AT);
  const store = await openTrustStore(fakeFiles(), image);
  t.match(await (await store.refresh({ fetch: fetchFrom(to), nowMs: NOW_MS })).find("os/1"), { role: "os" });
});

test("[OTA-14] signing again after an interruption before the timestamp gives a complete repository", async (t) => {
  const { dir, to, file, image } = await made(t);
  const metadata = join(dir, "repository/metadata");
  const before = readFileSync(join(metadata, "timestamp.json"));
  await addTarget(dir, "os/1", file, EVERYONE);
  const staged = readFileSync(join(dir, "staged/os.json"));
  await signChanges(dir, [], NOW_MS);
  writeFileSync(join(metadata, "timestamp.json"), before); // as if the last write were missing
  writeFileSync(join(dir, "staged/os.json"), staged);
  t.match((await signChanges(dir, [], NOW_MS + 1000)).signed, [
    { role: "os", version: 2 },
    { role: "snapshot", version: 2 },
    { role: "timestamp", version: 2 },
  ]);

  // As if only the last removal had not happened
  writeFileSync(join(dir, "staged/os.json"), staged);
  t.same((await signChanges(dir, [], NOW_MS + 2000)).signed, []);
  t.same(readdirSync(join(dir, "staged")), []);
  await publish(dir, to, AT);
  const store = await openTrustStore(fakeFiles(), image);
  t.match(await (await store.refresh({ fetch: fetchFrom(to), nowMs: NOW_MS })).find("os/1"), { role: "os" });
});

test("[OTA-14] a key is needed only for its own role, and only its owner may be able to read it", async (t) => {
  const { dir, file } = await made(t);
  rmSync(join(dir, "keys/root.pem"));
  rmSync(join(dir, "keys/app.pem"));
  await addTarget(dir, "os/1", file, EVERYONE);
  await signChanges(dir, [], NOW_MS);
  await addTarget(dir, "app/1", file, { ...EVERYONE, line: "app" });
  await t.rejects(signChanges(dir, [], NOW_MS), {
    code: "release.key-unusable",
    message: /there is no .*app\.pem; put the key there/u,
  });
  chmodSync(join(dir, "keys/os.pem"), 0o644);
  await t.rejects(signChanges(dir, ["os"], NOW_MS), { code: "release.key-unusable", message: /chmod 600/u });
});

test("[OTA-14] init continues with existing keys, and never replaces a repository", async (t) => {
  const { dir } = await made(t);
  await t.rejects(initialise(dir, NOW_MS), { code: "release.already-initialised" });
  const key = readFileSync(join(dir, "keys/root.pem"));
  // As if it had been cut before its last write
  rmSync(join(dir, "repository/metadata/timestamp.json"));
  await initialise(dir, NOW_MS);
  t.same(readFileSync(join(dir, "keys/root.pem")), key);
});

test("[OTA-20] publish refuses a directory with another repository or a newer state of this one", async (t) => {
  const one = await made(t);
  const other = await made(t);
  await publish(one.dir, one.to, AT);
  await t.rejects(publish(other.dir, one.to, AT), { code: "release.conflict", message: /another repository/u });
  const old = readFileSync(join(one.dir, "repository/metadata/timestamp.json"));
  await signChanges(one.dir, ["timestamp"], NOW_MS);
  await publish(one.dir, one.to, AT);
  writeFileSync(join(one.dir, "repository/metadata/timestamp.json"), old);
  await t.rejects(publish(one.dir, one.to, AT), { code: "release.conflict", message: /devices would refuse the older one/u });
});

test("[OTA-14] a target that was damaged after it was added is not published", async (t) => {
  const { dir, to, file } = await made(t);
  const { file: placed } = await addTarget(dir, "os/1", file, EVERYONE);
  await signChanges(dir, [], NOW_MS);
  writeFileSync(placed, "other bytes");
  await t.rejects(publish(dir, to, AT), { code: "release.store-failed", message: /not what was signed/u });
});

test("[OTA-14] a target that no device would accept is refused when it is added", async (t) => {
  const { dir, file } = await made(t);
  await t.rejects(addTarget(dir, "other/1", file, EVERYONE), { code: "usage.invalid", message: /expected a role/u });
  await t.rejects(addTarget(dir, "os/../1", file, EVERYONE), { code: "usage.invalid" });
  await t.rejects(addTarget(dir, "policy/1", file, EVERYONE), { code: "usage.invalid", message: /its line must be "policy"/u });
  await t.rejects(addTarget(dir, "os/1", `${file}-missing`, EVERYONE), { code: "usage.invalid", message: /there is no file/u });
  await t.rejects(addTarget(dir, "os/1", file, { ...EVERYONE, audience: { groups: ["north"] } }), {
    code: "usage.invalid",
    message: /tenant beside groups/u,
  });
  await t.rejects(addTarget(dir, "os/1", file, { ...EVERYONE, counter: 2, floorAfterCommit: 3 }), {
    code: "usage.invalid",
    message: /no higher than the counter/u,
  });
  await t.rejects(signChanges(dir, ["kernel"], NOW_MS), { code: "usage.invalid", message: /no role "kernel"/u });
});

test("[OTA-14] a renewal keeps the targets and changes the dates", async (t) => {
  const { dir, to, file, image } = await made(t);
  await addTarget(dir, "os/1", file, EVERYONE);
  await signChanges(dir, [], NOW_MS);
  const later = NOW_MS + 800 * 86_400_000;
  await signChanges(dir, ["root", "targets", "os", "app", "policy", "operators", "hub", "snapshot", "timestamp"], later);
  await publish(dir, to, { nowMs: later });
  const store = await openTrustStore(fakeFiles(), image);
  t.match(await (await store.refresh({ fetch: fetchFrom(to), nowMs: later })).find("os/1"), { role: "os" });
  t.equal(store.trusted.root.signed.version, 2);
});
