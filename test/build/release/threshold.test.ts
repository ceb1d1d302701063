// Roles that need the signatures of several people, who do not sit at one machine.
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { NOW_MS } from "../../lab/counterparts/repository.ts";
import { labHub } from "../../lab/worlds/hub.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import { releaseRoom, type ReleaseRoom } from "../../lab/worlds/key-holders.ts";

const DAY_MS = 86_400_000;

async function twoForApp(room: ReleaseRoom) {
  const [anna, bert] = [await room.holder("anna"), await room.holder("bert")];
  await room.give("app", 2, anna, bert);
  await room.sign("--key", anna.file, "--key", bert.file);
  rmSync(join(room.dir, "keys/app.pem"));
  return { anna, bert };
}

/** Neither tool publishes, and each says why. */
async function refusedByBoth(t: Test, room: ReleaseRoom, message: RegExp): Promise<void> {
  const own = await room.tool("publish", room.dir, room.to);
  t.match(own, { code: 1, text: /release\.refused/u });
  t.match(own.text, message);
  const { state } = await labHub(t);
  const hub = await hubCommand(state, "release", "publish", room.dir);
  t.match(hub, { code: 1, err: [/release\.refused: .*signatures are missing on app/su] });
}

test("[OTA-28] [OTA-2] two people sign one draft, one after the other, and it is published after the second", async (t) => {
  const room = await releaseRoom(t, Date.now());
  const { anna, bert } = await twoForApp(room);
  await room.add("app/a", "content");
  const first = await room.sign("--key", anna.file);
  t.match(first, { code: 0 });
  t.ok(first.text.includes("app 3: 1 of 2 signatures by the keys of targets 2, needs one more of the key ids"), first.text);
  t.ok(first.text.includes(bert.keyid) && !first.text.includes(anna.keyid), "it names who may still sign");
  t.equal(room.metadata("3.app.json"), undefined, "nothing was written into the repository");

  const again = await room.sign("--key", anna.file);
  t.ok(again.text.includes("1 of 2 signatures"), "the same key does not count twice");
  for (const words of [
    ["drafts", room.dir],
    ["show", room.dir, "app/a"],
  ] as const) {
    const shown = await room.tool(...words);
    t.ok(shown.text.includes("app 3: 1 of 2 signatures") && shown.text.includes(bert.keyid), words[0]);
  }
  await refusedByBoth(t, room, /app\/a is a draft .*signatures are missing: app 3: 1 of 2 signatures/u);

  const second = await room.sign("--key", bert.file);
  t.match(second, { code: 0, text: /^app 3, until .* app\/a \(app 1\), for every device snapshot 3, .* timestamp 3, /u });
  t.match(await room.tool("drafts", room.dir), { text: "there are no drafts" });
  t.match(await room.tool("publish", room.dir, room.to), { code: 0 });
  t.match(await room.seenByDevice("app/a"), { role: "app" });
  const { state } = await labHub(t);
  const hub = await hubCommand(state, "release", "publish", room.dir);
  t.equal(hub.code, 0, hub.err.join());
});

test("[OTA-28] a signature over a content that has changed since is dropped, and that is said", async (t) => {
  const room = await releaseRoom(t);
  const { anna, bert } = await twoForApp(room);
  await room.add("app/a", "content");
  await room.sign("--key", anna.file);
  await room.add("app/b", "more");
  t.match(await room.tool("drafts", room.dir), { text: /0 of 2 signatures .*1 signature over an older content was dropped/u });
  const second = await room.sign("--key", bert.file);
  t.match(second.text, /app 3: 1 of 2 signatures .*; 1 signature over an older content was dropped/u);
  t.ok(second.text.includes(anna.keyid));
  t.match(await room.sign("--key", anna.file), { code: 0, text: /app\/a .*app\/b / });

  await room.add("app/c", "third");
  await room.sign("--key", anna.file);
  room.nowMs = NOW_MS + 731 * DAY_MS;
  const late = await room.tool("drafts", room.dir);
  t.match(late.text, /1 signature over an older content was dropped/u, "so is one that has expired before the second");
});

test("[OTA-28] people sign in copies without keys, and what they signed over another content is refused", async (t) => {
  const room = await releaseRoom(t);
  const { anna, bert } = await twoForApp(room);
  await room.add("app/a", "content");
  await room.sign("--key", anna.file);
  const copy = room.copyFor("at-berts");
  const there = await room.tool("sign", copy, "--key", bert.file);
  t.match(there, { code: 0, text: /snapshot 3: 0 of 1 signatures/u }, "the last step needs the keys of snapshot and timestamp");
  const signed = join(copy, "staged/signing/app.json");
  const stranger = await room.holder("stranger");
  t.match(await room.sign("--key", stranger.file), {
    code: 1,
    text: /release\.key-unusable: .*it may sign nothing that is due/u,
  });

  const older = `${signed}.older`;
  cpSync(signed, older);
  await room.add("app/b", "more");
  t.match(await room.sign("--signatures", older), {
    code: 1,
    text: /release\.refused: .*it may have been made over an older content/u,
  });
  await room.tool("remove", room.dir, "app/b");
  t.match(await room.sign("--signatures", signed), { code: 0, text: /^app 3, until .*timestamp 3/u });
  t.match(await room.tool("publish", room.dir, room.to), { code: 0 });
  t.match(await room.seenByDevice("app/a"), { role: "app" });
});

test("[OTA-28] nobody adds a signature to dates that the tool would not write", async (t) => {
  const room = await releaseRoom(t);
  const { anna, bert } = await twoForApp(room);
  await room.add("app/a", "content");
  await room.sign("--key", anna.file);
  const path = join(room.dir, "staged/signing/app.json");
  const signed = v.parse(v.looseObject({ signed: v.looseObject({}) }), JSON.parse(readFileSync(path, "utf8")));
  for (const dates of [{ expires: "2199-01-01T00:00:00Z" }, { signedAt: "2199-01-01T00:00:00Z" }, { expires: "soon" }]) {
    writeFileSync(path, JSON.stringify({ ...signed, signed: { ...signed.signed, ...dates } }));
    t.match(await room.sign("--key", bert.file), { text: /app 3: 1 of 2 .*; 1 signature over an older content was dropped/u });
    t.notMatch(readFileSync(path, "utf8"), /"2199-|"soon"/u);
  }
});

test("[OTA-28] a role that waits does not hold up the others, nor the renewal of the timestamp", async (t) => {
  const room = await releaseRoom(t);
  const { anna, bert } = await twoForApp(room);
  await room.add("app/a", "content");
  await room.add("hub/b", "content");
  const mixed = await room.sign("--key", anna.file);
  t.match(mixed, { code: 0, text: /^hub 2, until .*app 3: 1 of 2 signatures/u });
  t.match(await room.tool("publish", room.dir, room.to), { code: 1 });
  t.match(await room.tool("publish", room.dir, room.to, "--without-drafts"), { code: 0 });
  t.match(await room.seenByDevice("hub/b"), { role: "hub" });
  t.equal(await room.seenByDevice("app/a"), undefined);
  t.match(await room.sign("--role", "timestamp"), { code: 0, text: /^timestamp 4/u });
  t.match(await room.sign("--key", bert.file), { code: 0, text: /^app 3, / }, "the first signature still counts");
});

test("[OTA-28] [OTA-3] a root is changed by the former keys and by its own", async (t) => {
  const room = await releaseRoom(t);
  const [anna, bert, carl] = [await room.holder("anna"), await room.holder("bert"), await room.holder("carl")];
  t.match(await room.give("root", 2, anna, bert), { text: /^root: 1 of [0-9a-f]{64}; drafted: 2 of / });
  const first = await room.sign();
  t.match(first.text, /root 2: 1 of 1 signatures by the keys of root 1; 0 of 2 signatures by the keys of root 2, needs 2 more/u);
  t.match(await room.tool("publish", room.dir, room.to), { code: 1, text: /the keys of root is a draft/u });
  t.match(await room.sign("--key", anna.file), { text: /1 of 2 signatures by the keys of root 2/u });
  t.match(await room.sign("--key", bert.file), { code: 0, text: /^root 2, until/u });

  await room.give("root", 1, carl);
  rmSync(join(room.dir, "keys/root.pem"));
  t.match(await room.sign("--key", carl.file), {
    text: /root 3: 0 of 2 signatures by the keys of root 2, .*; 1 of 1 signatures/u,
  });
  t.match(await room.sign("--key", anna.file), { text: /root 3: 1 of 2 signatures by the keys of root 2, needs one more/u });
  t.match(await room.sign("--key", bert.file), { code: 0, text: /^root 3, until/u });
  await room.add("app/a", "content");
  await room.sign();
  t.match(await room.tool("publish", room.dir, room.to), { code: 0 });
  t.match(await room.seenByDevice("app/a"), { role: "app" }, "a device with the first root follows");
});

test("[OTA-28] other keys for a role: it is signed again with them, together with what delegates to it", async (t) => {
  for (const role of ["targets", "snapshot", "timestamp", "os"]) {
    const room = await releaseRoom(t);
    const [anna, bert] = [await room.holder("anna"), await room.holder("bert")];
    await room.give(role, 2, anna, bert);
    rmSync(join(room.dir, `keys/${role}.pem`));
    const first = await room.sign("--key", anna.file);
    t.ok(first.text.includes(`${role} 2: 1 of 2 signatures`), `${role}: ${first.text}`);
    t.equal(room.metadata("2.root.json"), undefined, "the delegator waits for what rests on it");
    const second = await room.sign("--key", bert.file);
    t.equal(second.code, 0, second.text);
    t.ok(second.text.includes(`${role} 2, until`), `${role}: ${second.text}`);
    await room.add("hub/a", "content");
    const online = role === "snapshot" || role === "timestamp";
    const keys = online ? ["--key", anna.file, "--key", bert.file] : [];
    t.match(await room.sign(...keys), { code: 0, text: /^hub 2, until/u }, role);
    t.match(await room.tool("publish", room.dir, room.to), { code: 0 }, role);
    t.match(await room.seenByDevice("hub/a"), { role: "hub" }, role);
  }
});

test("[OTA-28] keys and thresholds that make no sense are refused, and a drafted change can be removed", async (t) => {
  const room = await releaseRoom(t);
  const anna = await room.holder("anna");
  t.match(await room.give("os", 2, anna), { code: 2, text: /would have 1 keys and need 2/u });
  t.match(await room.give("os", 1, anna, anna), { code: 2, text: /the same key counts once/u });
  t.match(await room.give("kernel", 1, anna), { code: 2, text: /there is no role "kernel"/u });
  t.match(await room.tool("keys", room.dir, "os", "--key", "rubbish"), { code: 2, text: /neither a public key nor a key id/u });
  await room.give("os", 1, anna);
  t.match(await room.tool("drafts", room.dir), { text: /^os: 1 of [0-9a-f]{64}; drafted: 1 of / });
  t.match(await room.tool("remove", room.dir, "os"), { code: 0 });
  t.match(await room.tool("remove", room.dir, "os"), { code: 2 });
  t.match(await room.tool("drafts", room.dir), { text: "there are no drafts" });
  t.match(await room.tool("keygen", anna.file), { code: 1, text: /never overwritten/u });
});

test("[OTA-28] whoever signs the next version vouches for the targets before, so an edited one is refused", async (t) => {
  const room = await releaseRoom(t);
  const { anna } = await twoForApp(room);
  await room.add("hub/a", "content");
  await room.sign();
  await room.add("hub/b", "more");
  await room.add("app/a", "content");
  const own = join(room.dir, "repository/metadata/1.root.json");
  for (const name of ["2.hub.json", "2.app.json", "3.snapshot.json", "timestamp.json", "2.targets.json", "1.root.json"]) {
    const copy = room.copyFor("edited");
    const path = join(copy, "repository/metadata", name);
    writeFileSync(path, readFileSync(path, "utf8").replace(/"expires": "\d/u, '"expires": "9'));
    const refused = await room.tool("sign", copy, "--key", anna.file);
    t.match(refused, { code: 1, text: /trust\.bad-signature: .*is in the repository already, is not signed by those/u }, name);
  }
  const other = await releaseRoom(t);
  t.match(await other.sign("--root", own), { code: 1, text: /release\.conflict: .*another repository/u });
  t.match(await room.sign("--key", anna.file, "--root", own), { code: 0, text: /app 3: 1 of 2/u });
});
