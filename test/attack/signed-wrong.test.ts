// Metadata that is really signed, and wrong. What a client would refuse is refused when it is
// signed and when it is published, by the client's own verifier, and nothing is written.
import { generateKeyPairSync } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { addTarget } from "../../build/release/add.ts";
import { signed } from "../../build/release/drafts.ts";
import { initialise } from "../../build/release/init.ts";
import { readSigner } from "../../build/release/keys.ts";
import { layoutOf } from "../../build/release/layout.ts";
import { publish } from "../../build/release/publish.ts";
import { signChanges } from "../../build/release/sign.ts";
import { labHub } from "../lab/worlds/hub.ts";
import { hubCommand } from "../lab/worlds/hub-cli.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const SAID = { line: "app", hardware: { any: true }, audience: { everyone: true } } as const;
const DAY_MS = 86_400_000;

const draftSchema = v.looseObject({ version: v.number(), expires: v.string() });
const targetsSchema = v.looseObject({
  ...draftSchema.entries,
  targets: v.record(v.string(), v.looseObject({ custom: v.looseObject({}) })),
});

class Workshop {
  readonly dir: string;
  readonly to: string;
  readonly file: string;

  constructor(directory: string) {
    this.dir = join(directory, "release");
    this.to = join(directory, "www");
    this.file = join(directory, "file");
    writeFileSync(this.file, "content");
  }

  metadata(name: string): string {
    return join(this.dir, "repository/metadata", name);
  }

  read<const S extends v.GenericSchema>(name: string, schema: S): v.InferOutput<S> {
    return v.parse(v.object({ signed: schema }), JSON.parse(readFileSync(this.metadata(name), "utf8"))).signed;
  }

  /** Signs `draft` with the key of `role`, true or not. */
  async write(name: string, role: string, draft: object): Promise<void> {
    writeFileSync(this.metadata(name), signed(draft, [await readSigner(layoutOf(this.dir), role)]));
  }

  async add(name: string, nowMs: number): Promise<void> {
    await addTarget(this.dir, name, this.file, SAID);
    await signChanges(this.dir, [], nowMs);
  }

  state(): readonly string[] {
    return readdirSync(join(this.dir, "repository"), { recursive: true, encoding: "utf8" }).sort();
  }
}

/** A repository at version 2 with one target. */
async function workshop(t: Test): Promise<Workshop> {
  const made = new Workshop(await temporaryDirectory(t));
  await initialise(made.dir, Date.now());
  await made.add("app/a", Date.now());
  return made;
}

/** `publish` of the release tool and of the hub both refuse, and copy nothing. */
async function refusedByBoth(t: Test, { dir, to }: Workshop, code: string, message: RegExp): Promise<void> {
  const before = existsSync(to) ? readdirSync(to, { recursive: true }) : [];
  await t.rejects(publish(dir, to, { nowMs: Date.now() }), { code, message }, `sallyport-release publish: ${code}`);
  t.same(existsSync(to) ? readdirSync(to, { recursive: true }) : [], before, "nothing was copied");
  const { state } = await labHub(t);
  const result = await hubCommand(state, "release", "publish", dir);
  t.equal(result.code, 1, `sallyport-hub release publish: ${result.err.join()}`);
  t.match(result.err.join().replaceAll(/\s+/gu, " "), message);
  t.match(result.err.join(), new RegExp(code.replace(".", "\\."), "u"));
  t.notOk(existsSync(join(state, "repository/metadata")), "the hub serves nothing of it");
}

test("[OTA-25] a key that is not the role's signs nothing that is written", async (t) => {
  const w = await workshop(t);
  await addTarget(w.dir, "app/b", w.file, SAID);
  writeFileSync(join(w.dir, "keys/app.pem"), generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }));
  const before = w.state();
  await t.rejects(signChanges(w.dir, [], Date.now()), {
    code: "trust.bad-signature",
    message: /"app" is signed by 0 of the keys/u,
  });
  t.same(w.state(), before, "nothing was written");
  t.ok(existsSync(join(w.dir, "staged/app.json")), "the draft is still a draft");

  await w.write("3.app.json", "app", { ...w.read("2.app.json", draftSchema), version: 3 });
  const meta = { "snapshot.json": { version: 3 } };
  const snapshot = w.read("2.snapshot.json", v.looseObject({ meta: v.record(v.string(), v.unknown()) }));
  await w.write("3.snapshot.json", "snapshot", {
    ...snapshot,
    version: 3,
    meta: { ...snapshot.meta, "app.json": { version: 3 } },
  });
  await w.write("timestamp.json", "timestamp", { ...w.read("timestamp.json", draftSchema), version: 3, meta });
  rmSync(join(w.dir, "staged/app.json"));
  await refusedByBoth(t, w, "trust.bad-signature", /"app" is signed by 0 of the keys/u);
});

test("[OTA-25] [OTA-2] a role whose threshold is two is not published with one signature", async (t) => {
  const w = await workshop(t);
  const root = w.read("1.root.json", v.looseObject({ ...draftSchema.entries, roles: v.record(v.string(), v.looseObject({})) }));
  const roles = { ...root.roles, targets: { ...root.roles["targets"], threshold: 2 } };
  await w.write("2.root.json", "root", { ...root, version: 2, roles });
  await refusedByBoth(t, w, "trust.bad-signature", /signed by 1 of the keys that may sign it, but 2 are needed/u);
  await t.rejects(signChanges(w.dir, ["app"], Date.now()), { code: "trust.bad-signature" });
});

test("[OTA-25] [OTA-7] expired metadata is neither published nor signed over", async (t) => {
  const w = new Workshop(await temporaryDirectory(t));
  await initialise(w.dir, Date.now() - 91 * DAY_MS);
  await refusedByBoth(t, w, "trust.expired", /timestamp 1 expired at .*/u);
  await signChanges(w.dir, ["snapshot", "timestamp"], Date.now());
  await publish(w.dir, w.to, { nowMs: Date.now() });
  await t.rejects(
    signChanges(w.dir, ["timestamp"], Date.now() + 731 * DAY_MS),
    { code: "trust.expired", message: /sign --renew renews what has expired/u },
    "a fresh timestamp over roles that have expired",
  );
});

test("[OTA-25] [OTA-11] a target whose audience is a tenant alone, or nobody, is not published", async (t) => {
  for (const audience of [{ tenant: "acme" }, undefined]) {
    const w = await workshop(t);
    const app = w.read("2.app.json", targetsSchema);
    const [[name, entry] = ["", undefined]] = Object.entries(app.targets);
    const custom = { ...entry?.custom, ...(audience === undefined ? {} : { audience }) };
    if (audience === undefined) Reflect.deleteProperty(custom, "audience");
    await w.write("2.app.json", "app", { ...app, targets: { [name]: { ...entry, custom } } });
    await refusedByBoth(t, w, "release.refused", /target "app\/a" is for no device: its audience names nobody/u);
    const { audience: _everyone, ...nobody } = SAID;
    await t.rejects(addTarget(w.dir, "app/c", w.file, { ...nobody, ...(audience && { audience }) }), {
      code: "usage.invalid",
      message: /for no device/u,
    });
  }
});

test("[OTA-25] a target that its role may not speak for, and one with an unreadable description, are not published", async (t) => {
  const w = await workshop(t);
  const app = w.read("2.app.json", targetsSchema);
  await w.write("2.app.json", "app", { ...app, targets: { ...app.targets, "os/evil.json": app.targets["app/a"] } });
  await refusedByBoth(t, w, "release.refused", /target "os\/evil\.json": no role that lists it may speak for that name/u);
  await w.write("2.app.json", "app", { ...app, targets: { "app/a": { ...app.targets["app/a"], custom: { v: 2 } } } });
  await refusedByBoth(t, w, "release.refused", /custom of target "app\/a"/u);
});

test("[OTA-25] [OTA-5] [OTA-6] what takes back what is published, or does not fit its snapshot, is refused", async (t) => {
  const w = await workshop(t);
  const older = join(w.dir, "..", "older");
  cpSync(w.dir, older, { recursive: true });
  await w.add("app/b", Date.now());
  await publish(w.dir, w.to, { nowMs: Date.now() });

  // A timestamp with a higher version, really signed, over a snapshot that takes "app" back.
  const snapshot = w.read("3.snapshot.json", v.looseObject({ meta: v.record(v.string(), v.unknown()) }));
  const timestamp = w.read("timestamp.json", draftSchema);
  await w.write("4.snapshot.json", "snapshot", {
    ...snapshot,
    version: 4,
    meta: { ...snapshot.meta, "app.json": { version: 2 } },
  });
  await w.write("timestamp.json", "timestamp", { ...timestamp, version: 4, meta: { "snapshot.json": { version: 4 } } });
  await t.rejects(publish(w.dir, w.to, { nowMs: Date.now() }), {
    code: "trust.rollback",
    message: /takes "app\.json" from 3 back to 2/u,
  });

  await w.write("timestamp.json", "timestamp", { ...timestamp, version: 4, meta: { "snapshot.json": { version: 3 } } });
  cpSync(w.metadata("2.snapshot.json"), w.metadata("3.snapshot.json"));
  const { state } = await labHub(t);
  t.match(await hubCommand(state, "release", "publish", w.dir), {
    code: 1,
    err: [/trust\.mismatch: .*snapshot 2 is not version 3/u],
  });
});
