import { test } from "tap";
import { openTrustStore, timeFloor } from "../../../ota/trust/index.ts";
import { momentText } from "../../../ota/trust/format/index.ts";
import { SIGNED_AHEAD_MS_MAX } from "../../../ota/trust/limits.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

const BUILD_MS = Date.UTC(2027, 0, 1);
const CEILING_MS = Date.UTC(2042, 0, 1);

async function floorOf(repository: ReturnType<typeof labRepository>, ceilingMs = CEILING_MS): Promise<number> {
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  await (await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS })).list();
  return timeFloor((await store.stored.list()).trusted, BUILD_MS, ceilingMs);
}

test("[OTA-13] the time floor is the build date until something newer is signed offline", async (t) => {
  t.equal(await floorOf(labRepository()), BUILD_MS);
});

for (const role of ["root", "targets", "os", "operators"]) {
  test(`[OTA-13] signedAt of ${role} raises the time floor`, async (t) => {
    const repository = labRepository();
    const draft = role === "root" ? repository.root : repository.roleOf(role);
    draft.signedAt = "2027-02-28T10:00:00Z";
    repository.publish(role);
    t.equal(await floorOf(repository), Date.UTC(2027, 1, 28, 10));
  });
}

for (const role of ["timestamp", "snapshot"] as const) {
  test(`[OTA-13] signedAt of ${role}, whose key is online, raises nothing`, async (t) => {
    const repository = labRepository();
    repository[role].signedAt = "2027-02-28T10:00:00Z";
    repository.publish("targets");
    t.equal(await floorOf(repository), BUILD_MS);
  });
}

test("[OTA-13] a signedAt beyond the ceiling, or an older one, does not count", async (t) => {
  const repository = labRepository();
  repository.root.signedAt = "2027-02-28T10:00:00Z";
  repository.targets.signedAt = "2020-01-01T00:00:00Z";
  repository.publish("root", "targets");
  t.equal(await floorOf(repository, Date.UTC(2027, 1, 28)), BUILD_MS);
});

for (const role of ["root", "targets", "policy"]) {
  test(`[OTA-22] ${role} with a signing date years ahead, by a wrong clock or a stolen key, is refused: it would put the clock out of the hub's reach`, async (t) => {
    const repository = labRepository();
    const draft = role === "root" ? repository.root : repository.roleOf(role);
    const store = await openTrustStore(fakeFiles(), repository.imageRoot);
    const listing = async () => await (await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS })).list();
    draft.signedAt = momentText(NOW_MS + SIGNED_AHEAD_MS_MAX + 1000);
    repository.publish(role);
    const outcome = await listing().then(
      ({ faults }) => faults[0],
      (error: unknown) => error,
    );
    t.match(outcome, { code: "trust.invalid", message: /says that it was signed at 2027-03-02T12:00:01Z/u });
    t.equal(timeFloor((await store.stored.list()).trusted, BUILD_MS, CEILING_MS), BUILD_MS);
    draft.signedAt = momentText(NOW_MS + SIGNED_AHEAD_MS_MAX);
    if (role === "root") repository.serve("root");
    else repository.publish(role);
    t.same((await listing()).faults, [], "signed again it is accepted; a day can be a mistake of time zones");
  });
}
