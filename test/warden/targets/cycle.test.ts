// The cycles of the warden with the files that the agent brings: which files it wants, which
// payloads it stores, and what it offers.
import { test } from "tap";
import { handoverName } from "../../../ota/fetch/index.ts";
import { timeFloor, type TrustedMetadata } from "../../../ota/trust/index.ts";
import { faultOf } from "../../lab/runner/faults.ts";
import { daysFromNow, labCustom, sha256 } from "../../lab/counterparts/repository.ts";
import { brought, DEVICE, operatorKey, refreshed, rosterText, targetsRig } from "../../lab/worlds/targets.ts";
import { policyBytes } from "../../lab/worlds/lockdown.ts";

const POLICY = Buffer.from(policyBytes()).toString();
const ONE = operatorKey();

function publishing(rig = targetsRig()) {
  const { repository } = rig;
  repository.addTarget("os", "os/gateway-2.json", "a manifest", labCustom({ line: "os", counter: 2 }));
  repository.addTarget("policy", "policy/plant-3", POLICY, labCustom({ line: "policy", counter: 3 }));
  repository.addTarget(
    "operators",
    "operators/roster-1",
    rosterText({ tenant: "acme", groups: { line7: [DEVICE] }, operators: [{ id: "ada", roles: ["owner"], keys: [ONE.text] }] }),
    labCustom({ line: "operators" }),
  );
  repository.publish("os", "policy", "operators");
  return rig;
}

test("[OTA-40] the warden wants one file after the other, under names that it derives from the paths, and ends with the offers for this device", async (t) => {
  const rig = publishing();
  const targets = await rig.open();
  const { answer, wanted } = await brought(rig, (absent) => targets.refresh(absent));
  t.same(wanted.slice(0, 4), [
    "metadata/2.root.json",
    "metadata/timestamp.json",
    "metadata/2.snapshot.json",
    "metadata/1.targets.json",
  ]);
  t.same(
    wanted.slice(4, 9).sort(),
    ["app", "hub", "operators", "os", "policy"].map(
      (role) => `metadata/${role === "app" || role === "hub" ? 1 : 2}.${role}.json`,
    ),
  );
  t.match(wanted.slice(9), [/^targets\/operators\/[0-9a-f]{64}\.roster-1$/u, /^targets\/policy\/[0-9a-f]{64}\.plant-3$/u]);
  t.match(answer, {
    state: "current",
    root: 1,
    timestamp: 2,
    snapshot: 2,
    offers: [
      { line: "operators", counter: 1 },
      { line: "os", target: "os/gateway-2.json", counter: 2, digest: sha256(Buffer.from("a manifest")) },
      { line: "policy", target: "policy/plant-3", counter: 3, digest: sha256(Buffer.from(POLICY)) },
    ],
  });
  t.equal(Buffer.from(targets.policy()?.bytes ?? []).toString(), POLICY);
  t.match(targets.device(), { id: DEVICE, tenant: "acme", groups: ["line7"] });
  t.same(
    rig.entries.map(({ event }) => event),
    ["roster.accepted", "trust.refreshed"],
  );

  const again = await brought(rig, (absent) => targets.refresh(absent));
  t.same(again.wanted, ["metadata/2.root.json", "metadata/timestamp.json"], "a second cycle wants only what may be new");
  t.same(again.answer, answer);
  t.equal(rig.entries.length, 2, "and records nothing when nothing is new");
});

test("[OTA-40] a request goes on where the one before it ended, although the hand-over directory was cleared meanwhile", async (t) => {
  const rig = publishing();
  const targets = await rig.open();
  const absent: string[] = [];
  for (let n = 0; n < 40; n++) {
    const answer = await targets.refresh(absent);
    if (answer.state === "current") {
      t.equal(answer.offers.length, 3);
      return;
    }
    rig.dropped.clear(); // only the wanted file and the timestamp are there at any time
    const timestamp = rig.served("metadata/timestamp.json");
    if (timestamp !== undefined) rig.dropped.set(handoverName("metadata/timestamp.json"), timestamp);
    const bytes = rig.served(answer.path);
    if (bytes === undefined) absent.push(answer.path);
    else rig.dropped.set(answer.handoverName, bytes);
  }
  t.fail("the requests never end");
});

test("[OPS-8] roster and policy stay valid after a restart without a root, without handed-over files, and with an expired repository", async (t) => {
  const rig = publishing();
  await refreshed(rig, await rig.open());
  await rig.clock.advance(90 * 86_400_000);
  rig.dropped.clear();
  for (const imageRoot of [rig.repository.imageRoot, undefined, Buffer.from("not a root")]) {
    const targets = await rig.open({ imageRoot });
    t.match(targets.roster(), { tenant: "acme", operators: [{ id: "ada" }] });
    t.equal(targets.policy()?.counter, 3);
  }
  const bare = await rig.open({ files: targetsRig().files, imageRoot: undefined });
  t.equal((await faultOf(() => bare.refresh([]))).code, "trust.missing");
  t.match(bare.troubles(), [{ code: "trust.missing" }]);
});

test("[OPS-8] a roster moves a device into a tenant, and the policy of that tenant then applies to it", async (t) => {
  const rig = targetsRig();
  const { repository } = rig;
  const ofGroup = labCustom({ line: "policy", counter: 2, audience: { tenant: "acme", groups: ["line7"] } });
  repository.addTarget("policy", "policy/all-1", POLICY, labCustom({ line: "policy" }));
  repository.addTarget("policy", "policy/line7-2", `${POLICY} `, ofGroup);
  repository.publish("policy");
  const targets = await rig.open();
  await refreshed(rig, targets);
  t.equal(targets.policy()?.target, "policy/all-1");
  const roster = rosterText({ tenant: "acme", groups: { line7: [DEVICE] } });
  repository.addTarget("operators", "operators/r-1", roster, labCustom({ line: "operators" }));
  repository.publish("operators");
  await refreshed(rig, targets);
  t.equal(targets.policy()?.target, "policy/line7-2", "in the same cycle");
});

test("[OPS-20] a roster that cannot be read, is too long or is missing changes and delays nothing, and an older one does not replace it", async (t) => {
  const rig = publishing();
  const targets = await rig.open();
  await refreshed(rig, targets);
  const { repository } = rig;
  const offer = async (counter: number, text: string): Promise<void> => {
    repository.addTarget("operators", `operators/roster-${counter}`, text, labCustom({ line: "operators", counter }));
    repository.addTarget("os", `os/gateway-${counter}.json`, "a manifest", labCustom({ line: "os", counter }));
    repository.publish("operators", "os");
    const { offers } = await refreshed(rig, targets);
    t.match(
      offers.filter(({ line }) => line !== "policy"),
      [{ line: "os", counter }],
      "the release is offered all the same",
    );
    t.match(targets.roster(), { operators: [{ id: "ada" }] });
  };
  const twice = { roles: ["owner"], keys: [ONE.text] };
  await offer(
    5,
    rosterText({
      operators: [
        { id: "ada", ...twice },
        { id: "bob", ...twice },
      ],
    }),
  );
  await offer(6, rosterText({ operators: [{ id: "ada", roles: ["root"], keys: [ONE.text] }] }));
  await offer(7, rosterText({ admin: true }));
  await offer(8, " ".repeat(262_145));
  t.match(targets.troubles(), [{ code: "trust.too-large" }]);
  t.match(
    rig.events("target.refused").map(({ detail }) => detail?.["code"]),
    ["roster.invalid", "roster.invalid", "roster.invalid", "trust.too-large"],
  );
  repository.addTarget("operators", "operators/roster-9", rosterText(), labCustom({ line: "operators", counter: 9 }));
  repository.publish("operators");
  repository.payloads.clear();
  await refreshed(rig, targets);
  t.match(targets.roster(), { operators: [{ id: "ada" }] }, "a roster that the repository lacks changes nothing");

  for (const path of Object.keys(repository.roleOf("operators").targets)) delete repository.roleOf("operators").targets[path];
  repository.addTarget("operators", "operators/old", rosterText(), labCustom({ line: "operators", counter: 1 }));
  repository.publish("operators");
  await refreshed(rig, targets);
  t.match(targets.roster(), { operators: [{ id: "ada" }] }, "the same counter is not newer");
  t.same(targets.troubles(), [], "the roster that could not be stored is no longer published");
});

test("[OTA-40] a stored payload that is damaged is reported, counts as none, and is stored anew", async (t) => {
  const rig = publishing();
  await refreshed(rig, await rig.open());
  for (const line of ["operators", "policy"]) {
    const bytes = Buffer.from(rig.files.contents.get(`${line}.taken`) ?? []);
    bytes.write("B", bytes.indexOf('"payload":"') + 30);
    rig.files.contents.set(`${line}.taken`, bytes);
  }
  rig.entries.length = 0;
  const targets = await rig.open();
  t.equal(targets.roster(), undefined, "nobody may give orders by a roster that was changed");
  t.equal(targets.policy(), undefined);
  t.match(rig.events("trust.damaged"), [{ detail: { file: "operators.taken" } }, { detail: { file: "policy.taken" } }]);
  t.equal(targets.troubles().length, 2);
  await refreshed(rig, targets);
  t.match(targets.roster(), { operators: [{ id: "ada" }] });
  t.equal(targets.policy()?.counter, 3);
  t.same(targets.troubles(), []);
});

test("[OTA-40] a release is found by its name and judged, and its payload is verified before it is returned", async (t) => {
  const rig = publishing();
  const targets = await rig.open();
  const { answer } = await brought(rig, (absent) => targets.find("os/gateway-2.json", absent));
  t.match(answer, { state: "found", custom: { counter: 2 }, path: /^targets\/os\/[0-9a-f]{64}\.gateway-2\.json$/u });
  const payload = await brought(rig, (absent) => targets.payload(answer.target, 1000, absent));
  t.same(payload.wanted, [answer.path]);
  t.equal(Buffer.from(payload.answer.bytes).toString(), "a manifest");
  t.equal((await faultOf(() => targets.payload(answer.target, 5, []))).code, "trust.too-large");
  rig.dropped.set(handoverName(answer.path), Buffer.from("a manifesto"));
  t.equal((await faultOf(() => targets.payload(answer.target, 1000, []))).code, "trust.mismatch");

  const found = await targets.find("os/gateway-2.json", []);
  t.equal(found.state, "found", "no file is wanted while the cycle is fresh");
  await rig.clock.advance(3_600_001);
  t.match(
    await targets.find("os/gateway-2.json", []),
    { state: "wanted", path: "metadata/2.root.json" },
    "an hour later a new cycle is needed",
  );
  await rig.clock.advance(31 * 86_400_000);
  t.equal(
    (await faultOf(() => brought(rig, (absent) => targets.find("os/gateway-2.json", absent)))).code,
    "trust.expired",
    daysFromNow(30),
  );

  t.match(await targets.take("chunks/ab/cd.caibx", 10, []), { state: "wanted", path: "chunks/ab/cd.caibx", bytesMax: 10 });
  t.equal((await faultOf(() => targets.take("chunks/x", 10, ["chunks/x"]))).code, "trust.missing");
  for (const path of ["../etc/shadow", "/etc/shadow", "a//b", "a/../b", "a\u0000b", ""])
    t.equal((await faultOf(() => targets.take(path, 10, []))).code, "trust.invalid", JSON.stringify(path));
});

test("[OTA-13] metadata that offline keys signed is passed on when it becomes trusted: after a cycle, and at the next start", async (t) => {
  const rig = publishing();
  rig.repository.roleOf("os").signedAt = "2027-02-28T10:00:00Z";
  rig.repository.publish("os");
  const floors: number[] = [];
  const onTrusted = (trusted: TrustedMetadata): void => void floors.push(timeFloor(trusted, 0, Date.UTC(2040, 0, 1)));
  const targets = await rig.open({ onTrusted });
  t.same(floors, [0], "the image's root has no date");
  await refreshed(rig, targets);
  await rig.open({ onTrusted });
  t.ok(floors.length >= 3 && floors.slice(1).every((floor) => floor === Date.UTC(2027, 1, 28, 10)), floors.join(" "));
});
