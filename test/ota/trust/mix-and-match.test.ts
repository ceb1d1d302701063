import { test } from "tap";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

async function hashed() {
  const repository = labRepository();
  for (const role of Object.keys(repository.snapshot.meta))
    repository.snapshot.meta[role] = { version: 1, hashes: {}, length: 0 };
  repository.timestamp.meta["snapshot.json"] = { version: 1, hashes: {} };
  repository.publish("targets", "os", "app", "policy", "operators", "hub");
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);
  return { repository, files, store, source: { fetch: repository.fetch, nowMs: NOW_MS } };
}

test("[OTA-6] hashes and lengths are checked where they are announced, and correct ones are accepted", async (t) => {
  const { store, source } = await hashed();
  const { faults } = await (await store.refresh(source)).list();
  t.same(faults, []);
});

test("[OTA-6] a snapshot of the right version with other content is refused (TUF 5.5.2)", async (t) => {
  const { repository, files, store, source } = await hashed();
  repository.snapshot.expires = "2030-01-01T00:00:00Z";
  repository.serve("snapshot");
  await t.rejects(store.refresh(source), {
    code: "trust.mismatch",
    message: /its sha256 differs \(TUF 5\.5\.2\)|bytes, .* announced/u,
  });
  t.equal(files.contents.has("snapshot.json"), false);
});

test("[OTA-6] targets of another snapshot, correctly signed, are refused (TUF 5.6.2)", async (t) => {
  const { repository, files, store, source } = await hashed();
  repository.files.set("2.targets.json", repository.files.get("1.targets.json") ?? Buffer.alloc(0));
  await t.rejects(store.refresh(source), { code: "trust.mismatch", message: /5\.6\.2/u });
  t.equal(files.contents.has("targets.json"), false);
});

test("[OTA-6] targets of another version are refused where no hashes are announced (TUF 5.6.4)", async (t) => {
  const repository = labRepository();
  repository.publish("targets");
  repository.files.set("2.targets.json", repository.files.get("1.targets.json") ?? Buffer.alloc(0));
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), {
    code: "trust.mismatch",
    message: /"targets" 1 is not version 2, which was announced/u,
  });
});

test("[OTA-6] a snapshot of another version is refused (TUF 5.5.4)", async (t) => {
  const repository = labRepository();
  repository.publish("targets");
  repository.files.set("2.snapshot.json", repository.files.get("1.snapshot.json") ?? Buffer.alloc(0));
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), {
    code: "trust.mismatch",
    message: /snapshot 1 is not version 2, which was announced/u,
  });
});

test("[OTA-6] a role announced with hashes of unknown kinds only is refused", async (t) => {
  const repository = labRepository();
  repository.snapshot.meta["targets.json"] = { version: 1, hashes: { "sha3-900": "00" } };
  repository.publish("snapshot");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), {
    code: "trust.mismatch",
    message: /without a SHA-256/u,
  });
});

test("[OTA-6] one kind of metadata does not pass as another, whoever signed it", async (t) => {
  const repository = labRepository();
  repository.signers.set("snapshot", [...repository.signersOf("timestamp")]);
  repository.snapshot.meta["snapshot.json"] = { version: 1 };
  repository.files.set("timestamp.json", repository.serve("snapshot"));
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), { code: "trust.invalid", message: /_type/u });
});
