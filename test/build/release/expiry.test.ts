// Metadata that has really expired, and how a release manager brings a repository back into
// service. The clock is given.
import { cpSync, renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { publishRepository } from "../../../hub/repository/index.ts";
import { NOW_MS } from "../../lab/counterparts/repository.ts";
import { releaseRoom, type ReleaseRoom } from "../../lab/worlds/key-holders.ts";

const DAY_MS = 86_400_000;
const DELEGATED = ["os", "app", "policy", "operators", "hub"] as const;

async function publish(room: ReleaseRoom, ...words: readonly string[]) {
  return await room.tool("publish", room.dir, room.to, ...words);
}

test("[OTA-29] when everything but the root has expired, sign --renew and publish bring it back, and the message says so", async (t) => {
  const room = await releaseRoom(t);
  await room.add("app/a", "content");
  await room.sign();
  await publish(room);
  room.nowMs = NOW_MS + 800 * DAY_MS;
  await t.rejects(room.seenByDevice("app/a"), { code: "trust.expired" });
  for (const words of [
    ["publish", room.dir, room.to],
    ["sign", room.dir, "--role", "timestamp"],
    ["sign", room.dir, "--role", "snapshot", "--role", "timestamp"],
  ])
    t.match(
      await room.tool(...words),
      { code: 1, text: /trust\.expired: .*sign --renew renews what has expired/u },
      words.join(" "),
    );
  const renewed = await room.sign("--renew");
  t.match(renewed, { code: 0, text: /^targets 2, .*snapshot 3, until .*timestamp 3, until/u });
  t.notMatch(renewed.text, /root 2/u, "the root is valid, and its key stays in the safe");
  t.match(await publish(room), { code: 0 });
  t.match(await room.seenByDevice("app/a"), { role: "app" });
});

test("[OTA-29] when the root has expired too, the same command renews it, and an old device follows", async (t) => {
  const room = await releaseRoom(t);
  await room.add("app/a", "content");
  await room.sign();
  await publish(room);
  room.nowMs = NOW_MS + 1900 * DAY_MS;
  t.match(await room.sign("--renew"), { code: 0, text: /^root 2, until/u });
  t.match(await publish(room), { code: 0 });
  t.match(await room.seenByDevice("app/a"), { role: "app" });
});

test("[OTA-29] an expired timestamp, or snapshot and timestamp, are renewed without an offline key", async (t) => {
  const room = await releaseRoom(t);
  await publish(room);
  for (const name of ["root", "targets", ...DELEGATED])
    renameSync(join(room.dir, `keys/${name}.pem`), join(room.dir, `${name}.pem`));
  room.nowMs = NOW_MS + 91 * DAY_MS;
  t.match(await publish(room), { code: 1, text: /trust\.expired: .*timestamp 1 expired/u });
  t.match(await room.sign("--renew"), { code: 0, text: /^snapshot 2, until .*timestamp 2, until/u });
  t.match(await publish(room), { code: 0 });
  room.nowMs = NOW_MS + 190 * DAY_MS;
  t.match(await room.sign("--role", "snapshot", "--role", "timestamp"), { code: 0 });
  t.match(await publish(room), { code: 0 });
});

test("[OTA-29] a role that has expired, and whose key is away, does not hold up the timestamp of the others", async (t) => {
  const room = await releaseRoom(t);
  await room.add("app/a", "content");
  await room.add("hub/a", "content");
  await room.sign();
  await publish(room);
  room.nowMs = NOW_MS + 700 * DAY_MS;
  const others = ["targets", "os", "policy", "operators", "hub"].flatMap((role) => ["--role", role]);
  t.match(await room.sign(...others), { code: 0 });
  t.match(await publish(room), { code: 0 });

  room.nowMs = NOW_MS + 760 * DAY_MS;
  renameSync(join(room.dir, "keys/app.pem"), join(room.dir, "app.pem"));
  t.match(await room.sign("--renew"), { code: 1, text: /release\.key-unusable: .*app\.pem/u });
  const renewed = await room.sign("--role", "snapshot", "--role", "timestamp");
  t.match(renewed, { code: 0, text: /warning: "app" 2 expired at .*devices take nothing new of that role until it is renewed/u });
  await room.add("hub/b", "content");
  t.match(await room.sign(), { code: 0, text: /hub\/b .*warning: "app" 2 expired/u });
  t.match(await publish(room), { code: 0, text: /warning: "app" 2 expired at/u });
  t.match(await room.seenByDevice("hub/b"), { role: "hub" });
  await t.rejects(room.seenByDevice("app/a"), { code: "trust.expired" });

  const elsewhere = join(room.to, "..", "new-server");
  t.match(
    await room.tool("publish", room.dir, elsewhere),
    { code: 1, text: /trust\.expired/u },
    "a new place starts with nothing expired",
  );
  renameSync(join(room.dir, "app.pem"), join(room.dir, "keys/app.pem"));
  t.match(await room.sign("--renew"), { code: 0, text: /^app 3, until/u });
  t.match(await publish(room), { code: 0 });
  t.match(await room.seenByDevice("app/a"), { role: "app" });
});

test("[OTA-29] a renewal signs no draft, and a new version that has expired is not tolerated", async (t) => {
  const room = await releaseRoom(t);
  await room.add("app/a", "content");
  await publish(room, "--without-drafts");
  room.nowMs = NOW_MS + 725 * DAY_MS;
  t.match(await room.sign("--renew"), { code: 0, text: /^targets 2, .*app 2, / }, "also what expires within 30 days");
  t.match(await room.tool("drafts", room.dir), { text: /^app\/a / });
  t.match(await publish(room, "--without-drafts"), { code: 0 });
  t.equal(await room.seenByDevice("app/a"), undefined);
  await room.sign();
  const signed = join(room.dir, "..", "signed");
  cpSync(room.dir, signed, { recursive: true });
  room.nowMs += 731 * DAY_MS;
  await room.sign("--renew");
  t.match(await room.tool("publish", signed, room.to), { code: 1, text: /trust\.expired/u });
});

test("[OTA-29] the hub publishes what was renewed, and warns of what has expired and is served already", async (t) => {
  const room = await releaseRoom(t);
  await room.add("app/a", "content");
  await room.sign();
  const put = async () => await publishRepository(room.dir, room.to, { nowMs: room.nowMs });
  t.same((await put()).warnings, []);
  room.nowMs = NOW_MS + 740 * DAY_MS;
  await t.rejects(put(), { code: "trust.expired" });
  renameSync(join(room.dir, "keys/app.pem"), join(room.dir, "app.pem"));
  const others = ["targets", "os", "policy", "operators", "hub", "snapshot"].flatMap((role) => ["--role", role]);
  t.match(await room.sign(...others), { code: 0, text: /warning: "app" 2 expired/u });
  t.match((await put()).warnings, [/"app" 2 expired at/u]);
  renameSync(join(room.dir, "app.pem"), join(room.dir, "keys/app.pem"));
  t.match(await room.sign("--renew"), { code: 0 });
  t.same((await put()).warnings, []);
  t.match(await room.seenByDevice("app/a"), { role: "app" });
});
