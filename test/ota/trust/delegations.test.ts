import { test } from "tap";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";
import { labKey, labRepository, type LabRepository, NOW_MS } from "../../lab/counterparts/repository.ts";

async function catalogueOf(repository: LabRepository) {
  const store = await openTrustStore(fakeFiles(), repository.imageRoot);
  return await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS });
}

/** The delegated roles that were requested. */
function visited({ asked }: LabRepository): readonly string[] {
  return asked.slice(4).map((name) => name.replace(/^\d+\.|\.json$/gu, ""));
}

test("[OTA-10] a role speaks for its own prefix only: an os/ target in the policy role does not exist", async (t) => {
  const repository = labRepository();
  repository.addTarget("policy", "os/evil", "x");
  repository.publish("policy");
  const catalogue = await catalogueOf(repository);
  t.equal(await catalogue.find("os/evil"), undefined);
  t.same(visited(repository), ["os"], "the policy role is not even requested");
  t.same((await catalogue.list()).targets, [], "it does not appear in a list either");
});

test("[OTA-10] a role signed with another role's key is refused", async (t) => {
  const repository = labRepository();
  repository.signers.set("os", repository.signersOf("policy"));
  repository.publish("os");
  await t.rejects((await catalogueOf(repository)).find("os/a"), { code: "trust.bad-signature", message: /"os".*5\.6\.3/u });
});

test("[OTA-10] the search is pre-order, depth first, in order of appearance", async (t) => {
  const repository = labRepository();
  repository.targets.delegations = { keys: {}, roles: [] };
  repository.delegate("targets", "a", ["*"]);
  repository.delegate("targets", "b", ["*"]);
  repository.delegate("a", "c", ["*"]);
  repository.delegate("a", "d", ["*"]);
  repository.delegate("d", "a", ["*"]); // a circle
  repository.publish("targets", "a", "b", "c", "d");
  t.equal(await (await catalogueOf(repository)).find("missing"), undefined);
  t.same(visited(repository), ["a", "c", "d", "b"]);
});

test("[OTA-10] a terminating delegation ends the search, found or not", async (t) => {
  const repository = labRepository();
  repository.targets.delegations = { keys: {}, roles: [] };
  repository.delegate("targets", "a", ["*"]);
  repository.delegate("targets", "b", ["*"]);
  repository.delegate("a", "c", ["*"], true);
  repository.delegate("a", "d", ["*"]);
  repository.addTarget("b", "x", "x");
  repository.publish("targets", "a", "b", "c", "d");
  t.equal(await (await catalogueOf(repository)).find("x"), undefined);
  t.same(visited(repository), ["a", "c"]);
});

test("[OTA-10] the first role in order wins where two may speak for a target", async (t) => {
  const repository = labRepository();
  repository.targets.delegations = { keys: {}, roles: [] };
  repository.delegate("targets", "a", ["*"]);
  repository.delegate("targets", "b", ["*"]);
  repository.addTarget("a", "x", "of a");
  repository.addTarget("b", "x", "of b, longer");
  repository.publish("targets", "a", "b");
  t.match(await (await catalogueOf(repository)).find("x"), { role: "a", file: { length: 4 } });
});

test("[OTA-10] a role known through one delegator is verified again through another", async (t) => {
  const repository = labRepository();
  repository.targets.delegations = { keys: {}, roles: [] };
  repository.delegate("targets", "parent-a", ["team-a/*"]);
  repository.delegate("targets", "parent-b", ["team-b/*"]);
  repository.delegate("parent-a", "release", ["team-a/*"]);
  repository.delegate("parent-b", "release", ["team-b/*"]);
  const other = labKey();
  const ofB = repository.roleOf("parent-b").delegations;
  Object.assign(ofB ?? {}, {
    keys: { [other.id]: other.key },
    roles: ofB?.roles.map((role) => ({ ...role, keyids: [other.id] })),
  });
  repository.addTarget("release", "team-a/x", "x");
  repository.addTarget("release", "team-b/x", "x");
  repository.publish("targets", "parent-a", "parent-b", "release");
  const catalogue = await catalogueOf(repository);
  t.match(await catalogue.find("team-a/x"), { role: "release" });
  await t.rejects(catalogue.find("team-b/x"), { code: "trust.bad-signature" });
  const listing = await catalogue.list();
  t.same(
    listing.targets.map(({ path }) => path),
    ["team-a/x"],
    "nor does a list let it in, where both parents are known",
  );
  t.match(listing.faults, [{ code: "trust.bad-signature" }]);

  repository.signers.get("release")?.push(other);
  repository.publish("release");
  const both = await (await catalogueOf(repository)).list();
  t.same(both.targets.map(({ path }) => path).sort(), ["team-a/x", "team-b/x"], "signed for both delegators it speaks for both");
  t.same(both.faults, []);
});

test("[OTA-9] a search visits at most 32 roles", async (t) => {
  const repository = labRepository();
  repository.targets.delegations = { keys: {}, roles: [] };
  const names = Array.from({ length: 40 }, (_, index) => `role-${index}`);
  for (const [index, name] of names.entries()) repository.delegate(names[index - 1] ?? "targets", name, ["*"]);
  repository.addTarget("role-39", "x", "x");
  repository.publish("targets", ...names);
  t.equal(await (await catalogueOf(repository)).find("x"), undefined);
  t.equal(visited(repository).length, 31, "with the top-level targets");
});

test("[OTA-10] a role that the snapshot does not list is neither trusted nor requested", async (t) => {
  const repository = labRepository();
  delete repository.snapshot.meta["os.json"];
  repository.publish("snapshot");
  await t.rejects((await catalogueOf(repository)).find("os/a"), { code: "trust.missing", message: /not listed/u });
  t.same(visited(repository), []);
});

test("[OTA-8] [OTA-10] role names that are not file names are requested percent-encoded and stored under a hash", async (t) => {
  for (const name of ["../../etc/passwd", "?", "#", "Ü", ".hidden", "a'(b)"]) {
    const repository = labRepository();
    repository.targets.delegations = { keys: {}, roles: [] };
    repository.delegate("targets", name, ["*"]);
    repository.addTarget(name, "x", "x");
    repository.publish("targets", name);
    const files = fakeFiles();
    const store = await openTrustStore(files, repository.imageRoot);
    t.match(await (await store.refresh({ fetch: repository.fetch, nowMs: NOW_MS })).find("x"), { role: name });
    t.match(repository.asked.at(-1), /^2\.[A-Za-z0-9%._~-]+\.json$/u);
    t.ok(
      [...files.contents.keys()].some((stored) => /^role-[0-9a-f]{64}\.json$/u.test(stored)),
      name,
    );
  }
});

test("[OTA-10] a delegated role with the name of a top-level role is refused", async (t) => {
  const repository = labRepository();
  repository.delegate("targets", "snapshot", ["*"]);
  repository.publish("targets");
  await t.rejects(catalogueOf(repository), { code: "trust.invalid", message: /another name/u });
});
