import { test } from "tap";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labKey, labRepository, NOW_MS, signed } from "../../lab/counterparts/repository.ts";

test("[OTA-3] roots are followed one by one, each signed by the previous keys and by its own", async (t) => {
  const repository = labRepository();
  for (let version = 2; version <= 5; version += 1) {
    const old = repository.signersOf("root");
    repository.rotate("root");
    const next = repository.signersOf("root");
    repository.signers.set("root", [...old, ...next]);
    repository.publish("root");
    repository.signers.set("root", next);
  }
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);
  await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS });
  t.equal(store.trusted.root.signed.version, 5);
  t.same(Buffer.from(files.contents.get("root.json") ?? []), Buffer.from(repository.files.get("5.root.json") ?? []));
});

for (const [who, pick] of [
  ["the new keys only", (old: number) => old + 1],
  ["the old keys only", (old: number) => old],
] as const) {
  test(`[OTA-3] a root signed by ${who} is refused, and the previous one stays (TUF 5.3.4)`, async (t) => {
    const repository = labRepository();
    const keys = [repository.signersOf("root")];
    repository.rotate("root");
    keys.push(repository.signersOf("root"));
    repository.signers.set("root", keys[pick(0)] ?? []);
    repository.publish("root");
    const files = fakeFiles();
    const store = await openTrustStore(files, repository.imageRoot);
    await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), {
      code: "trust.bad-signature",
      message: /5\.3\.4/u,
    });
    t.equal(store.trusted.root.signed.version, 1);
    t.same(files.contents.get("root.json"), repository.imageRoot);
  });
}

test("[OTA-3] a root that gives an old key's id to an attacker's key is refused: ids are looked up where they were trusted", async (t) => {
  const repository = labRepository();
  const [ours] = repository.signersOf("root");
  const theirs = { ...labKey(), id: ours?.id ?? "" };
  repository.root.keys[theirs.id] = theirs.key;
  repository.signers.set("root", [theirs]);
  repository.publish("root");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), {
    code: "trust.bad-signature",
    message: /by the keys of root 1/u,
  });
});

test("[OTA-3] a foreign repository, correctly signed by itself, is refused at its first root", async (t) => {
  const ours = labRepository();
  const theirs = labRepository();
  theirs.publish("root");
  const store = await openTrustStore(fakeFiles(), ours.imageRoot);
  await t.rejects(store.refresh({ fetch: theirs.fetch, nowMs: NOW_MS }), {
    code: "trust.bad-signature",
    message: /by the keys of root 1/u,
  });
});

test("[OTA-2] a foreign repository that offers no newer root is refused at its timestamp", async (t) => {
  const ours = labRepository();
  const store = await openTrustStore(fakeFiles(), ours.imageRoot);
  await t.rejects(store.refresh({ fetch: labRepository().fetch, nowMs: NOW_MS }), {
    code: "trust.bad-signature",
    message: /timestamp.*5\.4\.2/u,
  });
});

for (const role of ["timestamp", "snapshot"] as const) {
  test(`[OTA-4] versions that an attacker has driven up are left behind when the ${role} key is rotated (TUF 5.3.11)`, async (t) => {
    const repository = labRepository();
    repository.timestamp.version = 90;
    repository.snapshot.version = 90;
    repository.targets.version = 90;
    repository.publish("targets");
    const store = await openTrustStore(fakeFiles(), repository.imageRoot);
    const source = { fetch: repository.fetch, nowMs: NOW_MS };
    await store.refresh(source);
    t.equal(store.trusted.snapshot?.signed.version, 91);

    repository.rotate(role);
    repository.timestamp.version = 1;
    repository.snapshot.version = 1;
    repository.targets.version = 1;
    repository.snapshot.meta["targets.json"] = { version: 1 };
    repository.publish("root", "targets");
    await store.refresh(source);
    t.equal(store.trusted.snapshot?.signed.version, 2);
    t.equal(store.trusted.timestamp?.signed.version, 2);
  });
}

test("[OTA-4] without a rotation there is no way back", async (t) => {
  const repository = labRepository();
  repository.timestamp.version = 90;
  repository.publish("targets");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const source = { fetch: repository.fetch, nowMs: NOW_MS };
  await store.refresh(source);
  repository.timestamp.version = 1;
  repository.publish("root", "targets");
  await t.rejects(store.refresh(source), { code: "trust.rollback" });
});

test("[OTA-4] a key that is only added beside the attacker's counts as a rotation: what the attacker's key signed still verifies, and is dropped all the same", async (t) => {
  const repository = labRepository();
  repository.timestamp.version = 90;
  repository.publish("targets");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const source = { fetch: repository.fetch, nowMs: NOW_MS };
  await store.refresh(source);
  const { id, key } = labKey();
  repository.root.keys[id] = key;
  repository.root.roles.timestamp.keyids.push(id);
  repository.timestamp.version = 1;
  repository.publish("root", "targets");
  await store.refresh(source);
  t.equal(store.trusted.timestamp?.signed.version, 2);
});

test("[OTA-9] an endless chain of roots is followed in parts, each from the end of the last", async (t) => {
  const repository = labRepository();
  const [key] = repository.signersOf("root");
  const fetch = async (name: string): Promise<Uint8Array | undefined> => {
    const version = /^(\d+)\.root\.json$/u.exec(name)?.[1];
    return version === undefined || key === undefined
      ? repository.fetch(name, 0)
      : signed({ ...repository.root, version: Number(version) }, [key]);
  };
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await store.refresh({ fetch, nowMs: NOW_MS });
  t.equal(store.trusted.root.signed.version, 257);
  await store.refresh({ fetch, nowMs: NOW_MS });
  t.equal(store.trusted.root.signed.version, 513);
});

test("[OTA-23] the newer of the image's root and the stored one is used", async (t) => {
  const repository = labRepository();
  repository.publish("root");
  const newer = repository.files.get("2.root.json") ?? new Uint8Array();
  const files = fakeFiles();
  await (await openTrustStore(files, newer)).refresh({ fetch: repository.fetch, nowMs: NOW_MS });
  t.equal((await openTrustStore(files, repository.imageRoot)).trusted.root.signed.version, 2, "an old image does not lead back");
  t.equal((await openTrustStore(fakeFiles(), newer)).trusted.root.signed.version, 2);
  t.same(files.contents.get("root.json"), newer, "the image's root is stored by the first refresh");
});
