import { test } from "tap";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labCustom, labRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

test("[OTA-1] [OTA-8] a refresh follows the order of TUF 5 and stores the exact bytes under unversioned names", async (t) => {
  const repository = labRepository();
  repository.addTarget("os", "os/gateway-1.json", "an image", labCustom({ line: "os" }));
  repository.publish("os");
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);

  const catalogue = await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS });
  t.same(repository.asked, ["2.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json"]);
  const target = await catalogue.find("os/gateway-1.json");
  t.match(target, { path: "os/gateway-1.json", role: "os", file: { length: 8 } });
  t.equal(repository.asked.at(-1), "2.os.json", "a delegated role is fetched when it is searched");

  t.same([...files.contents.keys()].sort(), [
    "online-keys",
    "os.json",
    "root.json",
    "snapshot.json",
    "targets.json",
    "timestamp.json",
  ]);
  t.same(Buffer.from(files.contents.get("os.json") ?? []), Buffer.from(repository.files.get("2.os.json") ?? []));
  t.same(Buffer.from(files.contents.get("timestamp.json") ?? []), Buffer.from(repository.files.get("timestamp.json") ?? []));
});

test("[OTA-1] a second refresh without news requests only the next root and the timestamp", async (t) => {
  const repository = labRepository();
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS });
  repository.asked.length = 0;
  await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS });
  t.same(repository.asked, ["2.root.json", "timestamp.json"]);
});

test("[OTA-1] a list has the targets of every role, and names the roles that cannot be trusted", async (t) => {
  const repository = labRepository();
  repository.addTarget("os", "os/a", "a");
  repository.addTarget("policy", "policy/b", "b");
  repository.publish("os", "policy");
  repository.files.delete("1.hub.json");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const listing = await (await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS })).list();
  t.same(listing.targets.map(({ path }) => path).sort(), ["os/a", "policy/b"]);
  t.same(
    listing.faults.map(({ code }) => code),
    ["trust.missing"],
  );
  const stored = await store.stored.list();
  t.same(stored.targets.map(({ path }) => path).sort(), ["os/a", "policy/b"], "the store does the same without fetching");
});
