// What keeps each key: as devices say it, as the hub stores it, and as an operator sees it.
import { test } from "tap";
import { adopt } from "../../../hub/devices/index.ts";
import type { Hub } from "../../../hub/index.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import {
  certificateIn,
  connect,
  enrolled,
  enrolledBefore,
  labDevice,
  labHub,
  labMessage,
  simpleEnrol,
  simpleReenrol,
} from "../../lab/worlds/hub.ts";

const RENEWABLE = { agoMs: 600_000, lifeMs: 1_000_000 };

async function alerts(hub: Hub, event: string) {
  return (await hub.store.journal.tail(100, "info")).filter((entry) => entry.event === event);
}

test("[ID-61] list, approval and journal say what keeps a key, and that it is the device's claim", async (t) => {
  const { hub, state } = await labHub(t);
  const told = await labDevice("gw-1", { protection: "tpm" });
  const silent = await labDevice("gw-2");
  for (const { csr } of [told, silent]) await simpleEnrol(hub, csr);
  const list = (await hubCommand(state, "devices", "list")).out.join("\n");
  t.match(
    list,
    /gw-1 {2}pending[\s\S]*kept {5}tpm, says the device[\s\S]*gw-2 {2}pending[\s\S]*kept {5}unknown, its request does not say/u,
  );
  t.match(await hubCommand(state, "devices", "list", "--json"), { data: { id: "gw-1", protection: "tpm" } });
  t.match((await hubCommand(state, "devices", "list", "--json")).out[1], '"protection":"unknown"');
  const approved = await hubCommand(state, "devices", "approve", told.id, told.fingerprint);
  t.match(approved.err.join("\n"), /kept {5}tpm, says the device/u);
  t.match(await alerts(hub, "device.requested"), [{ detail: { protection: "tpm" } }, { detail: { protection: "unknown" } }]);
  t.match(await alerts(hub, "device.approved"), [{ deviceId: "gw-1", detail: { protection: "tpm" } }]);
});

test("[ID-61] the first claim about an approved key is taken, and a request without a claim takes nothing back", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1");
  const cert = await enrolledBefore(hub, state, device, RENEWABLE);
  const same = { key: device.key, audit: device.audit };
  const told = await labDevice("gw-1", { ...same, protection: "sealed" });
  const renewed = certificateIn(await simpleReenrol(hub, told.csr, cert, device.keyPem));
  t.equal((await hub.store.devices.approved(device.id))?.protection, "sealed");
  t.match(await alerts(hub, "device.protection-reported"), [{ detail: { protection: "sealed" } }]);
  t.equal(certificateIn(await simpleReenrol(hub, device.csr, cert, device.keyPem)), renewed, "an older agent after a rollback");
  t.equal((await hub.store.devices.approved(device.id))?.protection, "sealed");
  t.same(await alerts(hub, "device.request-changed"), []);
});

test("[ID-61] a weaker claim about the same key gets no certificate until an operator says --weaker; a stronger one counts once accepted", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1", { protection: "sealed" });
  const cert = await enrolledBefore(hub, state, device, RENEWABLE);
  const same = { key: device.key, audit: device.audit };
  const weaker = await labDevice("gw-1", { ...same, protection: "file" });
  for (const answer of [await simpleReenrol(hub, weaker.csr, cert, device.keyPem), await simpleEnrol(hub, weaker.csr)]) {
    t.equal(answer.status, 403);
    t.match(answer.body.toString(), /differs from the approved one in: weaker protection; .*--changed --weaker$/mu);
  }
  t.match(await alerts(hub, "device.weaker-key"), [{ severity: "alert", detail: { approved: "sealed", claimed: "file" } }]);
  t.equal((await hub.store.devices.approved(device.id))?.protection, "sealed");
  t.match(
    (await hubCommand(state, "devices", "list")).out.join("\n"),
    /changed .*says that the key is file: weaker; if that is right, run:\n.*devices approve gw-1 sha256:[0-9a-f]{64} --changed --weaker/u,
  );
  const approve = (...more: readonly string[]) => hubCommand(state, "devices", "approve", device.id, device.fingerprint, ...more);
  const refused = await approve("--changed");
  t.equal(refused.code, 1);
  t.match(refused.err.join("\n"), /kept {5}old {3}sealed\n +new {3}file[\s\S]*which is weaker, though the key is the same/u);
  t.equal((await approve("--changed", "--weaker")).code, 0);
  certificateIn(await simpleReenrol(hub, weaker.csr, cert, device.keyPem));

  const stronger = await labDevice("gw-1", { ...same, protection: "tpm" });
  t.equal((await simpleReenrol(hub, stronger.csr, cert, device.keyPem)).status, 200, "the device keeps its tunnel");
  t.match((await alerts(hub, "device.request-changed")).at(-1), { detail: { changed: "stronger protection" } });
  const shown = await hub.store.devices.approved(device.id);
  if (shown === undefined) return void t.fail("it is approved");
  t.equal(shown.protection, "file");
  t.match(await adopt({ store: hub.store }, shown, "test", undefined), { protection: "tpm" });
});

test("[ID-61] a birth message that says weaker than approved is an alert, and any other is none", async (t) => {
  const { hub } = await labHub(t);
  const [tpm, silent] = [await labDevice("gw-1", { protection: "tpm" }), await labDevice("gw-2")];
  for (const device of [tpm, silent]) {
    const { client } = await connect(t, hub, device, await enrolled(hub, device));
    for (const protection of [undefined, "tpm", "sealed", "file"])
      await client.publishAsync(
        `sallyport/1/${device.id}/up/status`,
        labMessage({ state: "online", ...(protection && { protection }) }),
        { qos: 1 },
      );
  }
  const found = await alerts(hub, "device.weaker-key");
  t.match(
    found.map(({ deviceId, detail }) => [deviceId, detail["approved"], detail["claimed"]]),
    [
      ["gw-1", "tpm", "sealed"],
      ["gw-1", "tpm", "file"],
    ],
  );
});
