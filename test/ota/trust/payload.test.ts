import { test } from "tap";
import { assert } from "../../../hal/fault.ts";
import { checkTarget, openTrustStore, targetFileName } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labRepository, NOW_MS, sha256 } from "../../lab/counterparts/repository.ts";

async function found(consistent: boolean) {
  const repository = labRepository();
  repository.root.consistent_snapshot = consistent;
  repository.addTarget("app", "app/agent-2.js", "console.log(2)");
  repository.publish("root", "app", "targets");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const target = await (await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS })).find("app/agent-2.js");
  assert(target !== undefined, "the repository has the target");
  return { repository, store, target };
}

test("[OTA-6] a target's bytes are those announced, or are refused (TUF 5.7.3)", async (t) => {
  const { target } = await found(true);
  checkTarget(target, Buffer.from("console.log(2)"));
  for (const bytes of ["console.log(3)", "console.log(2) ", "", "console.log(2"])
    t.throws(() => checkTarget(target, Buffer.from(bytes)), { code: "trust.mismatch", message: /5\.7\.3/u });
});

test("[OTA-1] with consistent snapshots files are requested by version and hash, otherwise by plain name", async (t) => {
  const { store, target, repository } = await found(true);
  const name = `app/${sha256(Buffer.from("console.log(2)"))}.agent-2.js`;
  t.equal(targetFileName(store.trusted, target), name);
  t.ok(repository.payloads.has(name));

  const plain = await found(false);
  t.equal(targetFileName(plain.store.trusted, plain.target), "app/agent-2.js");
  t.same(
    plain.repository.asked.filter((one) => !one.includes("root")),
    ["timestamp.json", "snapshot.json", "targets.json", "app.json"],
  );
});
