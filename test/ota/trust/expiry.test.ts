import { test } from "tap";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { daysFromNow, labRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

for (const role of ["timestamp", "snapshot", "targets"] as const) {
  test(`[OTA-7] a new ${role} that has expired is refused, and the stored one stays`, async (t) => {
    const repository = labRepository();
    const files = fakeFiles();
    const store = await openTrustStore(files, repository.imageRoot);
    const source = { fetch: repository.fetch, nowMs: NOW_MS };
    await store.refresh(source);
    const before = files.contents.get(`${role}.json`);
    repository[role].expires = daysFromNow(-1);
    repository.publish("targets");
    await t.rejects(store.refresh(source), { code: "trust.expired", message: new RegExp(`${role}.*expired at`, "u") });
    t.equal(files.contents.get(`${role}.json`), before);
  });
}

test("[OTA-7] a new root that has expired is stored, and nothing below it is accepted (TUF 5.3.10)", async (t) => {
  const repository = labRepository();
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);
  repository.root.expires = daysFromNow(-1);
  repository.publish("root");
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: NOW_MS }), { code: "trust.expired" });
  t.equal(store.trusted.root.signed.version, 2);
  t.equal(files.contents.has("timestamp.json"), false);
  repository.root.expires = daysFromNow(30);
  repository.publish("root");
  await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS });
  t.equal(store.trusted.root.signed.version, 3, "the next root leads on from it");
});

test("[OTA-7] a delegated role that has expired is refused, and does not hold up the others", async (t) => {
  const repository = labRepository();
  repository.addTarget("os", "os/a", "a");
  repository.roleOf("policy").expires = daysFromNow(-1);
  repository.publish("os", "policy");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const catalogue = await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS });
  await t.rejects(catalogue.find("policy/a"), { code: "trust.expired" });
  t.match(await catalogue.find("os/a"), { role: "os" });
});

test("[OTA-7] freeze: the stored metadata expires and nothing newer comes; this is reported, nothing new is accepted, and the stored metadata remains", async (t) => {
  const repository = labRepository();
  repository.addTarget("os", "os/a", "a");
  repository.publish("os");
  const files = fakeFiles();
  const store = await openTrustStore(files, repository.imageRoot);
  await (await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS })).list();
  const later = NOW_MS + 31 * 86_400_000;
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: later }), { code: "trust.expired" });
  const rebooted = await openTrustStore(files, repository.imageRoot);
  t.match(await rebooted.stored.find("os/a"), { role: "os" }, "at boot no date is checked");
  t.same(rebooted.damaged, []);
});

test("[OTA-7] a role that was stored in time is checked again when something new is taken from it", async (t) => {
  const repository = labRepository();
  repository.addTarget("os", "os/a", "a");
  repository.roleOf("os").expires = daysFromNow(1);
  repository.publish("os");
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  t.match(await (await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS })).find("os/a"), { role: "os" });
  const catalogue = await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS + 2 * 86_400_000 });
  await t.rejects(catalogue.find("os/a"), { code: "trust.expired" });
});

for (const role of ["snapshot", "targets"] as const) {
  test(`[OTA-7] freeze below a fresh timestamp: a stored ${role} that has expired does not pass as new`, async (t) => {
    const repository = labRepository();
    repository[role].expires = daysFromNow(1);
    repository.publish("targets");
    const store = await openTrustStore(fakeFiles(), repository.imageRoot);
    const source = { fetch: repository.fetch, nowMs: NOW_MS };
    await store.refresh(source);
    repository.timestamp.expires = daysFromNow(60);
    repository.publish("timestamp");
    const later = { ...source, nowMs: NOW_MS + 2 * 86_400_000 };
    await t.rejects(store.refresh(later), { code: "trust.expired", message: new RegExp(`${role}.*expired`, "u") });
  });
}

test("[OTA-7] the moment of expiry itself is too late", async (t) => {
  const repository = labRepository();
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  const expires = Date.parse(repository.timestamp.expires);
  await t.rejects(store.refresh({ fetch: repository.fetch, nowMs: expires }), { code: "trust.expired" });
  await store.refresh({ fetch: repository.fetch, nowMs: expires - 1 });
});
