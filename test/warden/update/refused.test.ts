// A release that must not be installed is refused before anything is written, and an installation
// that breaks leaves a slot that is never tried.
import { readFile, writeFile } from "node:fs/promises";
import { zstdCompressSync } from "node:zlib";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { decodeBootPlan } from "../../../hal/format/slots.ts";
import { startChild } from "../../../hal/linux/index.ts";
import { SILENCE_MS_MAX } from "../../../warden/install/index.ts";
import { startJob } from "../../../warden/update/job.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { mountSmallDisk } from "../../lab/counterparts/small-disk.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import { eventsOf, lastOf, type UpdatedBoard, updatedBoard } from "../../lab/worlds/updates.ts";

const OLD = "an older system\n";

async function untouched(t: Test, board: UpdatedBoard): Promise<void> {
  t.equal(await readFile(board.slot("b"), "utf8"), OLD, "no byte of the slot has changed");
  await untried(t, board);
}

async function untried(t: Test, { root }: UpdatedBoard): Promise<void> {
  const plan = decodeBootPlan(await readFile(join(root, "slots/boot-choice"), "utf8"));
  t.same(plan, { committed: "a", trial: undefined }, "the slot will not be booted");
}

test("[OTA-41] a release for another device, other hardware or another role is not taken up, and neither is one that is not newer than the running one", async (t) => {
  const board = await updatedBoard(t);
  const foreign = await board.release(2, { custom: { audience: { devices: [v.parse(deviceIdSchema, "GW-9999")] } } });
  const hardware = await board.release(3, { custom: { hardware: { ids: ["other-board"] } } });
  const running = await board.release(1);
  board.repository.addTarget("app", "app/agent-9", "{}", {
    v: 1,
    line: "app",
    counter: 9,
    hardware: { any: true },
    audience: { everyone: true },
  });
  board.repository.publish("app");
  const updates = await board.start();
  for (const target of [foreign.target, hardware.target, "app/agent-9"])
    await t.rejects(board.begin(updates, target), { code: "update.refused" }, target);
  await t.rejects(board.begin(updates, "os/not-there"), { code: "trust.missing" });
  t.equal(updates.orders["update.approve"].planHash(), undefined);
  await t.rejects(board.begin(updates, running.target), { code: "update.refused", message: /no higher than 1/u });
  t.equal(updates.orders["update.approve"].planHash(), running.planHash, "an operator may order it");
  t.match(updates.status(), { phase: "idle" });
  t.equal(board.installers.length, 0);
  await untouched(t, board);
});

test("[OTA-41] a wrong or a missing index ends the update before anything is written", async (t) => {
  const board = await updatedBoard(t);
  const updates = await board.start();
  const other = await board.release(2, { index: Buffer.alloc(104, 7) });
  t.match(await board.begin(updates, other.target), { phase: "failed", detail: /index\.invalid/u });
  const cut = await board.release(3);
  const [name, bytes] = [...board.repository.payloads].find(([path]) => path.includes("gateway-3")) ?? ["", Buffer.of()];
  board.repository.payloads.set(name, Buffer.from(Buffer.from(bytes).toString().replace("root", "boot")));
  t.match(
    await board.begin(updates, cut.target),
    { phase: "failed", detail: /trust\.mismatch/u },
    "another manifest is refused too",
  );
  t.same(eventsOf(board), ["update.begun", "update.failed", "update.begun", "update.failed"]);
  t.equal(board.installers.length, 0);
  await untouched(t, board);
});

test("[OTA-31] [OTA-41] a tampered chunk ends the update: no byte of it reaches the slot, and the slot is not tried", async (t) => {
  const board = await updatedBoard(t);
  const updates = await board.start();
  const evil = Buffer.alloc(4096, "evil");
  const { target } = await board.release(2, { chunk: { at: 0, file: zstdCompressSync(evil) } });
  t.match(await board.carry(updates, target), { phase: "failed", detail: /chunk\.tampered/u });
  t.notOk((await readFile(board.slot("b"))).includes("evilevil"));
  t.match(lastOf(board, "update.failed"), { result: "failed", detail: { target, reason: /chunk\.tampered/u } });
  await untried(t, board);
  const good = await board.release(3);
  await board.carry(updates, good.target);
  await eventually("the next release is tried", async () => (updates.status().phase === "trying" ? true : undefined));
});

test("[OTA-65] an unexpected range is answered with the expected one, and an older release must wait", async (t) => {
  const board = await updatedBoard(t);
  const updates = await board.start();
  await t.rejects(updates.verbs["update.write"]({ part: "root", from: 0, to: 1 }), { code: "update.not-waiting" });
  const second = await board.release(2);
  const release = await board.release(3);
  const chunks = board.chunks(release);
  const expects = { part: "root", from: 0, chunks };
  t.match(await board.begin(updates, release.target), { phase: "verified", expects });
  t.match(await board.begin(updates, release.target), { phase: "verified", expects }, "a repeated request gets the same answer");
  await t.rejects(board.begin(updates, second.target), { code: "update.busy" });
  await t.rejects(updates.orders["update.approve"].execute({ planHash: release.planHash, by: "olga" }), {
    code: "update.not-waiting",
  });
  for (const wrong of [
    { part: "root", from: 1, to: 2 },
    { part: "kernel", from: 0, to: 1 },
    { part: "root", from: 0, to: 0 },
    { part: "root", from: 0, to: chunks + 1 },
  ] as const)
    t.match(await updates.verbs["update.write"](wrong), { phase: "verified", expects }, JSON.stringify(wrong));
  await board.bring(release, 0, 5);
  const range = { part: "root", from: 0, to: 5 } as const;
  const [once, twice] = await Promise.all([updates.verbs["update.write"](range), updates.verbs["update.write"](range)]);
  t.match([once, twice], [{ expects: { from: 5 } }, { expects: { from: 5 } }], "requested twice, it is written once");
  t.equal(updates.orders["update.revert"].planHash(), release.planHash, "an order to stop it must name this");
  await t.rejects(
    updates.orders["update.revert"].execute({ planHash: second.planHash, by: "olga" }),
    { code: "update.not-waiting" },
    "another one",
  );
  await updates.orders["update.revert"].execute({ planHash: release.planHash, by: "olga" });
  t.equal(updates.orders["update.revert"].planHash(), undefined);
  await t.rejects(updates.orders["update.revert"].execute({ by: "olga" }), { code: "update.not-waiting" });
  t.match(updates.status(), { phase: "failed", detail: /cancelled by olga/u });
  t.match(await board.installers[0]?.ended, "SIGKILL", "its installer is gone");
  await untried(t, board);
});

test("[OTA-41] an installer that is killed or misses a chunk ends the update, and the slot is not tried", async (t) => {
  const board = await updatedBoard(t);
  const updates = await board.start();
  const release = await board.release(2);
  await board.begin(updates, release.target);
  await board.bring(release, 0, 5);
  t.match(await updates.verbs["update.write"]({ part: "root", from: 0, to: 5 }), { phase: "verified" });
  await board.installers[0]?.kill();
  await eventually("the update fails", async () => (updates.status().phase === "failed" ? true : undefined));
  t.match(updates.status(), { detail: /the installer ended \(SIGKILL\)/u });
  await untried(t, board);
  t.match(await board.begin(updates, release.target), { phase: "verified", expects: { from: 0 } }, "it may be taken up again");
  await board.bring(release, 10, 12);
  const missing = await updates.verbs["update.write"]({ part: "root", from: 0, to: 5 });
  t.match(missing, { phase: "failed", detail: /chunk\.missing/u });
  await untried(t, board);
});

test("[OTA-41] updates are taken up at a bounded rate, because each one is recorded", async (t) => {
  const board = await updatedBoard(t);
  const updates = await board.start();
  const { target } = await board.release(2, { index: Buffer.alloc(104, 7) });
  const untilRefused = async (): Promise<void> => {
    for (let begun = 0; begun < 50; begun++) await board.begin(updates, target);
  };
  await t.rejects(untilRefused(), { code: "protocol.rate-limited" });
  t.ok(board.trail.length < 40, `${board.trail.length} records`);
});

test("[OTA-41] a full disk ends the update with its reason, and the slot is not tried", { skip: needs("mounts") }, async (t) => {
  const board = await updatedBoard(t);
  const disk = mountSmallDisk(join(board.root, "slots"), 30);
  t.teardown(() => disk.unmount());
  await writeFile(join(board.root, "slots/boot-choice"), "a\n", { mode: 0o600 });
  const updates = await board.start();
  const { target } = await board.release(2);
  t.match(await board.carry(updates, target), { phase: "failed", detail: /slot\.write-failed.*ENOSPC/u });
  await untried(t, board);
});

test("[OTA-41] an installer that stays silent while it owes an answer is killed", async (t) => {
  const clock = fakeClock();
  const start = () => startChild("sleep", ["60"], { lineBytesMax: 100, onErrorLine: () => undefined });
  const part = { part: "root", bytes: 10, index: { path: "os/root.caibx", bytes: 104, sha256: "0".repeat(64) } } as const;
  const job = startJob({ start, clock, slot: "b", parts: [{ part, chunks: 1 }] });
  await eventually("the job waits for the installer", async () => (clock.sleeping > 0 ? true : undefined));
  await clock.advance(SILENCE_MS_MAX + 1);
  await t.rejects(job.done, { code: "process.failed", message: /SIGKILL/u });
  await t.resolves(job.ready, "a caller that waits goes on");
  t.ok(job.isOver());
});

test("[OTA-67] a release whose chunks are missing does not block the newer one that repairs it, and no other release may take its place", async (t) => {
  const board = await updatedBoard(t);
  let updates = await board.start();
  const stuck = await board.release(2);
  const other = await board.release(9, { custom: { line: "os/rescue", counter: 9 } });
  const repaired = await board.release(3);
  t.match(await board.begin(updates, stuck.target), { phase: "verified", expects: { from: 0 } });
  for (const target of ["os/gateway-77", other.target]) await t.rejects(board.begin(updates, target));
  t.match(updates.status(), { phase: "verified", release: { target: stuck.target } });
  t.match(await board.begin(updates, repaired.target), {
    phase: "verified",
    release: { target: repaired.target },
    expects: { from: 0 },
  });
  t.match(lastOf(board, "update.failed"), {
    detail: { target: stuck.target, reason: /the newer "os\/gateway-3" took its place/u },
  });
  t.equal(await board.installers[0]?.ended, "SIGKILL", "its installer is gone");
  await t.rejects(board.begin(updates, stuck.target), { code: "update.busy" }, "the older one cannot come back");
  await board.carry(updates, repaired.target);
  await eventually("it is tried", async () => (updates.status().phase === "trying" ? true : undefined));
  const newest = await board.release(4);
  await t.rejects(board.begin(updates, newest.target), { code: "update.busy" }, "a trial goes on to its end");
  updates = await board.reboot();
  await t.rejects(board.begin(updates, newest.target), { code: "update.busy" });
  t.match(updates.status(), { phase: "trying", running: "b", release: { target: repaired.target } });
});

test("[OTA-68] an agent may abandon a release that it cannot bring and say why, but not one that is written or tried", async (t) => {
  const board = await updatedBoard(t);
  const updates = await board.start();
  const older = await board.release(2);
  const stuck = await board.release(3);
  const giveUp = () => updates.verbs["update.abandon"]({ code: "chunk.missing", message: "\u001b[2Jchunk 7 \ud800" });
  await t.rejects(giveUp(), { code: "update.not-waiting" });
  await board.takeUp(updates, stuck.target);
  t.match(await giveUp(), { phase: "failed", release: { target: stuck.target } }, "before its manifest is there");
  await board.begin(updates, stuck.target);
  await board.bring(stuck, 0, 5);
  await updates.verbs["update.write"]({ part: "root", from: 0, to: 5 });
  const { expects, ...given } = await giveUp();
  t.match(given, { phase: "failed", detail: /^update\.aborted: the agent gave up: chunk\.missing: / });
  t.equal(expects, undefined);
  t.equal(await board.installers[0]?.ended, "SIGKILL", "its installer is gone");
  const { target, reason } = lastOf(board, "update.failed").detail ?? {};
  t.match({ target, reason }, { target: stuck.target, reason: /the agent gave up: chunk\.missing/u });
  await untried(t, board);
  await t.rejects(giveUp(), { code: "update.not-waiting" });
  t.equal(eventsOf(board).filter((event) => event === "update.failed").length, 2);

  await board.carry(updates, older.target);
  await eventually("another one is tried", async () => (updates.status().phase === "trying" ? true : undefined));
  await t.rejects(giveUp(), { code: "update.not-waiting" });
  t.match((await board.reboot()).status(), { phase: "trying", running: "b", release: { target: older.target } });
});

test("[OTA-68] the agent cannot abandon a release that is written and waits for an order", async (t) => {
  const board = await updatedBoard(t, { approval: "order" });
  const updates = await board.start();
  const release = await board.release(2);
  await board.carry(updates, release.target);
  await eventually("it waits", async () => updates.orders["update.approve"].planHash());
  await t.rejects(updates.verbs["update.abandon"]({ code: "chunk.missing", message: "" }), { code: "update.not-waiting" });
  t.match(updates.status(), { phase: "written", awaitsOrder: release.planHash });
});
