// Forgetting devices.
import { test } from "tap";
import { deny, forget, revoke } from "../../../hub/devices/index.ts";
import { certificateIn, enrolled, enrolledBefore, labDevice, labHub, simpleEnrol } from "../../lab/worlds/hub.ts";

async function openContext(t: Parameters<typeof labHub>[0]) {
  const { hub, state } = await labHub(t);
  return { hub, state, context: { store: hub.store } };
}

test("[ID-7] a denied key that was forgotten asks again and is pending like a new one", async (t) => {
  const { hub, context } = await openContext(t);
  const [one, two] = [await labDevice("gw-1"), await labDevice("gw-1")];
  for (const { csr } of [one, two]) await simpleEnrol(hub, csr);
  await deny(context, one.id, undefined, "test");
  t.equal((await simpleEnrol(hub, one.csr)).status, 403);
  t.match(await forget(context, one.id, one.fingerprint, "test"), [{ fingerprint: one.fingerprint, state: "denied" }]);
  t.equal((await simpleEnrol(hub, one.csr)).status, 202);
  t.match(await hub.store.journal.tail(2, "notice"), [
    { event: "device.forgotten", deviceId: "gw-1", detail: { fingerprint: one.fingerprint, state: "denied", by: "test" } },
    { event: "device.requested" },
  ]);
  t.equal((await simpleEnrol(hub, two.csr)).status, 403, "the other key is still denied");
  await t.rejects(forget(context, one.id, `sha256:${"0".repeat(64)}`, "test"), { code: "hub.device-unknown" });
});

test("[ID-7] an approved key is not forgotten, and a revoked one only when none of its certificates is valid", async (t) => {
  const { hub, state, context } = await openContext(t);
  const device = await labDevice("gw-1");
  await t.rejects(forget(context, device.id, undefined, "test"), { code: "hub.device-unknown", message: /never asked/ });
  await enrolled(hub, device);
  await t.rejects(forget(context, device.id, undefined, "test"), {
    code: "hub.device-conflict",
    message: /first run sallyport-hub devices revoke gw-1/,
  });
  await revoke(context, device.id, "test");
  await t.rejects(forget(context, device.id, device.fingerprint, "test"), {
    code: "hub.device-conflict",
    message: /certificate that is valid until 20/,
  });
  const gone = await labDevice("gw-2");
  await enrolledBefore(hub, state, gone, { agoMs: 20_000, lifeMs: 10_000 });
  await revoke(context, gone.id, "test");
  t.equal((await forget(context, gone.id, gone.fingerprint, "test")).length, 1);
  t.equal((await simpleEnrol(hub, gone.csr)).status, 202, "it may ask again and needs another approval");
  await hub.approve(gone.id, gone.fingerprint);
  t.ok(certificateIn(await simpleEnrol(hub, gone.csr)));
});
