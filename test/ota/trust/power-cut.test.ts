import { test } from "tap";
import { linuxFiles } from "../../../hal/linux/index.ts";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { crashDisk, crashStates, restore } from "../../lab/fakes/crash-disk.ts";
import { labRepository, NOW_MS } from "../../lab/counterparts/repository.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

test("[OTA-8] [OTA-4] power cuts at every durable operation of a refresh with a new root, rotated keys and new roles", async (t) => {
  const directory = await temporaryDirectory(t);
  const again = await temporaryDirectory(t);
  const repository = labRepository();
  repository.timestamp.version = 50;
  repository.addTarget("os", "os/a", "a");
  repository.publish("os");
  const source = { fetch: repository.fetch, nowMs: NOW_MS };
  const disk = crashDisk(directory);
  const store = await openTrustStore(await linuxFiles(directory, disk.ops), repository.imageRoot);
  await (await store.refresh(source)).find("os/a");

  const before = disk.changes.length;
  repository.rotate("timestamp");
  // recovery: back behind what an attacker signed with the old key
  repository.timestamp.version = 1;
  repository.publish("root", "os", "targets");
  await (await store.refresh(source)).find("os/a");

  t.ok(disk.changes.length > before + 20, `${disk.changes.length - before} changes`);
  let states = 0;
  for (let cut = before; cut <= disk.changes.length; cut += 1) {
    for (const state of crashStates(disk.changes.slice(0, cut))) {
      states += 1;
      restore(state, again);
      const rebooted = await openTrustStore(await linuxFiles(again), repository.imageRoot);
      if (rebooted.damaged.length > 0) t.fail(`cut ${cut}: ${rebooted.damaged[0]?.fault.message}`);
      if ((await rebooted.stored.find("os/a")) === undefined) t.fail(`cut ${cut}: what was accepted before is gone`);
      if ((await (await rebooted.refresh(source)).find("os/a")) === undefined) t.fail(`cut ${cut}: the refresh cannot go on`);
      if (rebooted.trusted.timestamp?.signed.version !== 2)
        t.fail(`cut ${cut}: timestamp ${rebooted.trusted.timestamp?.signed.version}`);
    }
  }
  t.ok(states > 20, `${states} states`);
});
