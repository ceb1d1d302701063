// Private keys that others may read: agent, hub and release tool refuse them alike, and say what to
// do.
import { chmod, chown, link, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { readSigner } from "../../build/release/keys.ts";
import { keyPath, layoutOf } from "../../build/release/layout.ts";
import { whyNotPrivate } from "../../hal/format/key-file.ts";
import { linuxFiles, linuxHandoverReader } from "../../hal/linux/index.ts";
import { createFileKeyStore } from "../../hal/linux/keys/index.ts";
import { loadAuthority } from "../../hub/authority/index.ts";
import { initHub } from "../../hub/index.ts";
import { makeKey, readKey } from "../../hub/orders/index.ts";
import { needs } from "../lab/runner/needs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const READABLE = [0o640, 0o604, 0o644, 0o660, 0o610] as const;
const PRIVATE = [0o600, 0o400] as const;

test("[STA-30] an operator's key that others may read signs nothing, and the message has the command that mends it", async (t) => {
  const file = join(await temporaryDirectory(t), "ada.key");
  await makeKey(file);
  for (const mode of READABLE) {
    await chmod(file, mode);
    t.throws(() => readKey(file), {
      code: "hub.key-unusable",
      message: new RegExp(`mode 0${mode.toString(8)}.*chmod 600 ${file}`, "u"),
    });
  }
  for (const mode of PRIVATE) {
    await chmod(file, mode);
    t.ok(readKey(file).keyid);
  }
});

test("[STA-30] so do the hub's own keys", async (t) => {
  const state = await temporaryDirectory(t);
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  for (const name of ["authority.key", "server.key", "time.key", "witness.key"]) {
    for (const mode of READABLE) {
      await chmod(join(state, name), mode);
      t.throws(
        () => loadAuthority(state),
        { code: "file.untrusted-owner", message: /chmod 600/u },
        `${name} ${mode.toString(8)}`,
      );
    }
    await chmod(join(state, name), 0o400);
    t.ok(loadAuthority(state));
  }
});

test("[STA-30] so does the device's key in a file", async (t) => {
  const directory = await temporaryDirectory(t);
  const store = createFileKeyStore({ files: await linuxFiles(directory) });
  const { fingerprint } = await store.create();
  for (const mode of READABLE) {
    await chmod(join(directory, "device-key.pem"), mode);
    await t.rejects(store.load(), { code: "file.untrusted-owner" }, mode.toString(8));
    await t.rejects(store.create(), { code: "file.untrusted-owner" }, "and no second key is made");
  }
  for (const mode of PRIVATE) {
    await chmod(join(directory, "device-key.pem"), mode);
    t.equal((await store.load())?.fingerprint, fingerprint);
  }
});

test("[STA-30] so do the keys of releases", async (t) => {
  const layout = layoutOf(await temporaryDirectory(t));
  await mkdir(layout.keys);
  const file = keyPath(layout, "os");
  await makeKey(file);
  for (const mode of READABLE) {
    await chmod(file, mode);
    await t.rejects(readSigner(layout, "os"), { code: "release.key-unusable", message: /chmod 600/u });
  }
});

test("[STA-30] a key of another user is refused, to root as well", { skip: needs("root") }, async (t) => {
  const file = join(await temporaryDirectory(t), "ada.key");
  await makeKey(file);
  await chown(file, 65_534, 65_534);
  t.throws(() => readKey(file), { code: "hub.key-unusable", message: /belongs to user 65534, expected 0/u });
  t.match(whyNotPrivate({ uid: 0, mode: 0o100600 }, file, 1000), /belongs to user 0, expected 1000/u);
});

test("[OTA-32] a file that a captured agent links into the hand-over directory is not taken", async (t) => {
  const directory = await temporaryDirectory(t);
  const victim = join(directory, "victim");
  await writeFile(victim, "a file of the warden's");
  await link(victim, join(directory, "1.root.json"));
  for (const blocking of [false, true]) {
    await using handover = await linuxHandoverReader(directory, { blocking });
    await t.rejects(handover.take("1.root.json", 4096), { code: "file.not-regular", message: /2 links/u });
  }
});
