// The upgrade of a device key, cut after every change of anything durable, and refused by everybody
// who can refuse it.
import { test, type Test } from "tap";
import { checkStored, createCertificateStore } from "../../../provisioning/certificate/index.ts";
import { PROVE_MS } from "../../../provisioning/upgrade/limits.ts";
import { needs } from "../../lab/runner/needs.ts";
import { upgradeKeyPool, type UpgradeWorld, upgradeWorld } from "../../lab/worlds/key-upgrade.ts";

const skip = needs("openssl");
const DAY_MS = 86_400_000;
const OTHER_ORDER = "6b".repeat(32);

type Pool = Awaited<ReturnType<typeof upgradeKeyPool>>;

/** Made once: a certificate takes four runs of openssl. */
const pools: Promise<Pool>[] = [];

function poolFor(t: Test): Promise<Pool> {
  const [made = upgradeKeyPool(t, 4)] = pools;
  pools.push(made);
  return made;
}

async function isUpgraded(t: Test, world: UpgradeWorld, { authority, keys }: Pool, what: string): Promise<void> {
  const { warden, hub, stored, files } = world;
  t.equal(warden.recorded.protection, "tpm", `${what}: the record has the new key`);
  t.equal(hub.inForce, warden.recorded.keyFingerprint, `${what}: the hub has the recorded key`);
  t.same([...stored.keys()], ["tpm"], `${what}: the old key is gone`);
  const key = keys.find((each) => each.key.fingerprint === hub.inForce)?.key;
  const { current } = await createCertificateStore(files).load();
  const expected = { deviceId: "gw-1", publicKey: key?.publicKey ?? new Uint8Array(), authority, nowMs: undefined };
  t.ok(checkStored(current ?? "", expected), `${what}: the certificate is that of the new key`);
  const left = [...files.contents.keys()].filter((name) => !["certificate.pem", "certificate-receipts.json"].includes(name));
  t.same(left, [], `${what}: nothing of the upgrade is left`);
}

/** The device as it was before the order. */
function isAsBefore(t: Test, world: UpgradeWorld, what: string): void {
  const { warden, hub, stored, files, old } = world;
  t.equal(warden.recorded.keyFingerprint, old.fingerprint, `${what}: the record has the old key`);
  t.equal(hub.inForce, old.fingerprint);
  t.same([...stored.keys()], ["file"], `${what}: the new key is gone`);
  t.same(
    [...files.contents.keys()].filter((name) => name.includes("upgrade")),
    [],
    `${what}: and what belongs to it`,
  );
  t.equal(world.upgrade().state().at, "idle");
}

test(
  "[ID-68] a power cut after every change leaves a device that connects with the old key or the new one, and that finishes by itself",
  { skip },
  async (t) => {
    const pool = await poolFor(t);
    const steps = new Set<string>();
    let cuts = 0;
    for (let cutAfter = 0; ; cutAfter++) {
      const world = await upgradeWorld(pool);
      world.cutAfter = cutAfter;
      const outcome = await world.run();
      const what = `cut ${cutAfter}`;
      if (outcome === "rests") {
        await isUpgraded(t, world, pool, "without a cut");
        t.same(world.outcomes, ["made", "replaced"]);
        break;
      }
      cuts += 1;
      steps.add(world.upgrade().state().at);
      world.cutAfter = undefined;
      const usable = [world.hub.inForce, world.hub.beside];
      t.ok(
        [...world.stored.values()].some(({ fingerprint }) => usable.includes(fingerprint)),
        `${what}: there is a key that the hub accepts`,
      );
      t.ok(world.stored.has(world.warden.recorded.protection), `${what}: the recorded key is there`);
      await world.run();
      await isUpgraded(t, world, pool, what);
    }
    t.ok(cuts > 20, `${cuts} cuts`);
    t.same([...steps].sort(), ["idle", "making", "proving", "removing", "replacing", "requesting"], "every step was cut");
  },
);

test("[ID-68] a second cut at every change of the run after the first one", { skip }, async (t) => {
  const pool = await poolFor(t);
  for (let first = 3; first < 30; first += 5)
    for (let second = 0; ; second += 3) {
      const world = await upgradeWorld(pool);
      world.cutAfter = first;
      await world.run();
      world.cutAfter = second;
      const outcome = await world.run();
      world.cutAfter = undefined;
      await world.run();
      await isUpgraded(t, world, pool, `cuts ${first} and ${second}`);
      if (outcome === "rests") break;
    }
});

test(
  "[ID-68] the loss of the new chip before the record is replaced goes back to the old key, and its return finishes the upgrade",
  { skip },
  async (t) => {
    const pool = await poolFor(t);
    for (const broker of ["away", "accepts"] as const) {
      const world = await upgradeWorld(pool);
      Object.assign(world.hub, { broker: "away" });
      await world.run({ forMs: 0 });
      t.equal(world.upgrade().state().at, "proving");
      t.not(world.presents(), world.old.fingerprint, "it tries the new key");
      world.chip = "key.tpm-missing";
      Object.assign(world.hub, { broker });
      await world.run();
      t.equal(world.presents(), world.old.fingerprint, "the old key has its turn");
      t.match(world.upgrade().state(), { at: "proving", isResting: true });
      t.equal(world.upgrade().lastFault()?.code, "key.tpm-missing");
      t.equal(world.hub.inForce, world.old.fingerprint);
      world.warden.granted = undefined;
      await world.run();
      isAsBefore(t, world, "the order is over");
    }
    const world = await upgradeWorld(pool);
    world.chip = "key.tpm-missing";
    await world.run();
    t.match(world.upgrade().state(), { at: "making" });
    world.chip = undefined;
    await world.run();
    await isUpgraded(t, world, pool, "the chip is back");
  },
);

test(
  "[ID-68] a hub that refuses, waits for its operator or is away keeps the old key in use until the order is over",
  { skip },
  async (t) => {
    const pool = await poolFor(t);
    for (const answer of ["enrol.denied", "enrol.refused", "enrol.unauthorized", "enrol.unreachable", "wait"] as const) {
      const world = await upgradeWorld(pool);
      world.hub.answer = answer;
      await world.run({ forMs: DAY_MS });
      t.equal(world.upgrade().state().at, "requesting", answer);
      t.equal(world.presents(), world.old.fingerprint);
      const mostMs = answer === "wait" ? 60_000 : answer === "enrol.unreachable" ? 150_000 : 900_000;
      t.ok(world.hub.asked.length < (1.2 * DAY_MS) / mostMs, `${answer}: ${world.hub.asked.length} requests in a day`);
      if (answer === "enrol.unauthorized") t.ok(world.hub.asked.includes("enrol"), "the new key alone is tried as well");
      world.warden.granted = undefined;
      await world.run();
      isAsBefore(t, world, answer);
      t.same(world.outcomes, ["made", "abandoned"]);
    }
  },
);

test("[ID-68] an approval after days is enough, over restarts, with the key that was shown", { skip }, async (t) => {
  const pool = await poolFor(t);
  const world = await upgradeWorld(pool);
  world.hub.answer = "wait";
  await world.run({ forMs: DAY_MS });
  const made = world.stored.get("tpm")?.fingerprint;
  await world.run({ forMs: 3 * DAY_MS });
  world.hub.answer = "issue";
  await world.run();
  await isUpgraded(t, world, pool, "approved");
  t.equal(world.hub.inForce, made);
});

test(
  "[ID-68] a broker that refuses the new certificate gets another one to see after three times, and never costs the old key its turn",
  { skip },
  async (t) => {
    const pool = await poolFor(t);
    const world = await upgradeWorld(pool);
    world.hub.broker = "refuses";
    await world.run({ forMs: DAY_MS });
    t.ok(world.hub.asked.length > 2, `${world.hub.asked.length} certificates in a day`);
    t.ok(world.hub.asked.length < 40);
    world.hub.broker = "accepts";
    await world.run();
    await isUpgraded(t, world, pool, "accepted in the end");
  },
);

test(
  "[ID-68] when the hub has accepted the new key unheard, the refusal of the old one leads to the new one at once",
  { skip },
  async (t) => {
    const pool = await poolFor(t);
    const world = await upgradeWorld(pool);
    world.hub.broker = "away";
    await world.run({ forMs: 0 });
    // the CONNACK was lost with the power
    world.hub.inForce = world.hub.beside ?? world.hub.inForce;
    t.match(await world.upgrade().tick(), { need: "nothing" }, "the new key still has its turn");
    await world.clock.advance(PROVE_MS);
    t.match(await world.upgrade().tick(), { need: "connect-with-old" });
    t.match(await world.upgrade().oldRefused(), { need: "connect-with-new" });
    world.hub.broker = "accepts";
    await world.run();
    await isUpgraded(t, world, pool, "the same");
  },
);

test(
  "[ID-66] [ID-68] a second order for the same upgrade takes over where the first one is; one for another begins anew",
  { skip },
  async (t) => {
    const pool = await poolFor(t);
    const world = await upgradeWorld(pool);
    world.hub.answer = "wait";
    await world.run({ forMs: 60_000 });
    const made = world.stored.get("tpm")?.fingerprint;
    const { old } = world;
    world.warden.granted = { order: OTHER_ORDER, from: old.fingerprint, to: "tpm" };
    await world.run({ forMs: 60_000 });
    t.match(world.upgrade().state(), { at: "requesting", upgrade: { order: OTHER_ORDER, made } });
    world.warden.granted = { order: "7c".repeat(32), from: old.fingerprint, to: "sealed" };
    await world.run({ forMs: 60_000 });
    t.same([...world.stored.keys()], ["file"], "the key of the order before is gone");
    await world.run({ forMs: 60_000 });
    t.match(world.upgrade().state(), { at: "requesting", upgrade: { to: "sealed" } });
    t.same([...world.stored.keys()], ["file", "sealed"]);
  },
);

test(
  "[ID-68] what an earlier run left and is gone is made again: the key, its certificate, or the record of the upgrade",
  { skip },
  async (t) => {
    const pool = await poolFor(t);
    for (const lose of [
      (world: UpgradeWorld) => world.stored.delete("tpm"),
      (world: UpgradeWorld) => world.files.contents.delete("certificate-upgrade.pem"),
      (world: UpgradeWorld) => world.files.contents.set("certificate-upgrade.pem", Buffer.from("damaged")),
      (world: UpgradeWorld) => world.files.contents.set("key-upgrade.json", Buffer.from("{")),
      (world: UpgradeWorld) => world.files.contents.delete("key-upgrade.json"),
    ]) {
      const world = await upgradeWorld(pool);
      world.hub.broker = "away";
      await world.run({ forMs: 0 });
      lose(world);
      world.hub.broker = "accepts";
      await world.run();
      await isUpgraded(t, world, pool, lose.toString());
    }
  },
);

test("[ID-68] with a clock that cannot be trusted the upgrade goes on: no date is judged by it", { skip }, async (t) => {
  const pool = await poolFor(t);
  const world = await upgradeWorld(pool);
  world.clockTrusted = false;
  await world.clock.set(Date.UTC(1970, 0, 2));
  await world.run();
  await isUpgraded(t, world, pool, "in 1970");
});

test("[ID-68] a disk that takes nothing delays every step and loses nothing", { skip }, async (t) => {
  const pool = await poolFor(t);
  for (let n = 1; n < 12; n++) {
    const world = await upgradeWorld(pool);
    world.files.faults.failAt(n, "file.no-space");
    await world.run({ forMs: DAY_MS });
    await world.run(); // an upgrade that could not be begun is begun by the next look at the warden
    await isUpgraded(t, world, pool, `write ${n}`);
  }
});
