import { test } from "tap";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labRepository, type LabRepository, NOW_MS, signed } from "../../lab/counterparts/repository.ts";

/** A device that has accepted version 3 of everything, and what it stored then. */
async function updated() {
  const repository = labRepository();
  repository.publish("targets", "os");
  repository.publish("targets", "os");
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);
  const source = { fetch: repository.fetch, nowMs: NOW_MS };
  await (await store.refresh(source)).list();
  const before = new Map(files.contents);
  return { repository, store, files, source, before };
}

const ATTACKS: readonly {
  readonly title: string;
  readonly attack: (repository: LabRepository) => void;
  readonly message: RegExp;
  readonly stays: readonly string[];
}[] = [
  {
    title: "[OTA-5] an older timestamp, rightly signed, is refused (TUF 5.4.3.1)",
    attack: ({ timestamp, serve }) => {
      timestamp.version = 2;
      serve("timestamp");
    },
    message: /timestamp 2 is older than 3.*5\.4\.3\.1/u,
    stays: ["timestamp.json", "snapshot.json", "targets.json", "os.json"],
  },
  {
    title: "[OTA-5] a new timestamp that names an older snapshot is refused (TUF 5.4.3.2)",
    attack: ({ timestamp, serve }) => {
      timestamp.version = 9;
      timestamp.meta["snapshot.json"] = { version: 2 };
      serve("timestamp");
    },
    message: /names snapshot 2, but 3 is known.*5\.4\.3\.2/u,
    stays: ["timestamp.json", "snapshot.json", "targets.json", "os.json"],
  },
  {
    title: "[OTA-5] a new snapshot that takes targets back is refused (TUF 5.5.5)",
    attack: ({ snapshot, publish }) => {
      snapshot.version = 4;
      snapshot.meta["targets.json"] = { version: 1 };
      publish("snapshot");
    },
    message: /takes "targets.json" from 3 back to 1.*5\.5\.5/u,
    stays: ["snapshot.json", "targets.json", "os.json"],
  },
  {
    title: "[OTA-5] a new snapshot that takes a delegated role back is refused (TUF 5.5.5)",
    attack: ({ snapshot, publish }) => {
      snapshot.meta["os.json"] = { version: 2 };
      publish("snapshot");
    },
    message: /takes "os.json" from 3 back to 2.*5\.5\.5/u,
    stays: ["snapshot.json", "targets.json", "os.json"],
  },
  {
    title: "[OTA-5] a new snapshot that drops a role is refused (TUF 5.5.5)",
    attack: ({ snapshot, publish }) => {
      delete snapshot.meta["policy.json"];
      publish("snapshot");
    },
    message: /no longer lists "policy.json".*5\.5\.5/u,
    stays: ["snapshot.json", "targets.json", "os.json"],
  },
  {
    title: "[OTA-5] a root that is not the next version is refused (TUF 5.3.5)",
    attack: ({ files, root, signersOf }) => {
      files.set("2.root.json", signed({ ...root, version: 1 }, signersOf("root")));
    },
    message: /says it is version 1: expected 2.*5\.3\.5/u,
    stays: ["timestamp.json", "snapshot.json", "targets.json", "os.json"],
  },
];

for (const { title, attack, message, stays } of ATTACKS) {
  test(title, async (t) => {
    const { repository, store, files, source, before } = await updated();
    attack(repository);
    await t.rejects(store.refresh(source), { code: "trust.rollback", message });
    for (const name of stays) t.equal(files.contents.get(name), before.get(name), `${name} stays`);
    const reopened = await openTrustStore(files, repository.imageRoot);
    t.same(reopened.damaged, []);
    t.equal(reopened.trusted.snapshot?.signed.version, 3);
  });
}

test("[OTA-5] a lost timestamp does not open a way back behind the stored snapshot", async (t) => {
  const { repository, files, source } = await updated();
  files.contents.set("timestamp.json", Buffer.from("torn"));
  const store = await openTrustStore(files, repository.imageRoot);
  repository.timestamp.version = 1;
  repository.timestamp.meta["snapshot.json"] = { version: 1 };
  repository.serve("timestamp");
  await t.rejects(store.refresh(source), { code: "trust.rollback", message: /names snapshot 1, but 3 is known/u });
});

test("[OTA-5] a timestamp of the same version with other content changes nothing (TUF 5.4.3.1)", async (t) => {
  const { repository, store, files, source, before } = await updated();
  repository.timestamp.meta["snapshot.json"] = { version: 100 };
  repository.serve("timestamp");
  await store.refresh(source);
  t.equal(files.contents.get("timestamp.json"), before.get("timestamp.json"));
});
