// Orders that must not confirm, each with a real signature.
import { generateKeyPairSync } from "node:crypto";
import { test } from "tap";
import type { Lockdown, PolicyTrial } from "../../../warden/lockdown/index.ts";
import { confirmer, lockdownOrder, type LockdownRig, lockdownRig, policyBytes } from "../../lab/worlds/lockdown.ts";

async function onTrial(): Promise<{ rig: LockdownRig; lockdown: Lockdown; trial: PolicyTrial }> {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  return { rig, lockdown, trial: await lockdown.propose(policyBytes(), 7) };
}

const REFUSED: Readonly<Record<string, readonly [(trial: PolicyTrial) => Uint8Array, string]>> = {
  "another device": [(trial) => lockdownOrder(trial, { deviceId: "GW-4712" }), "order.invalid"],
  "another verb": [(trial) => lockdownOrder(trial, { verb: "lockdown.revert" }), "order.invalid"],
  "another plan": [(trial) => lockdownOrder({ ...trial, planHash: `sha256:${"0".repeat(64)}` }), "order.invalid"],
  "no plan": [(trial) => lockdownOrder(trial, { planHash: undefined }), "order.invalid"],
  "the nonce of another trial": [(trial) => lockdownOrder({ ...trial, nonce: "0".repeat(64) }), "order.replayed"],
  "a moment in the past": [(trial) => lockdownOrder(trial, { notAfter: "2025-12-31T23:59:59.999Z" }), "order.expired"],
  "a key that the policy does not name": [
    (trial) => lockdownOrder(trial, {}, generateKeyPairSync("ed25519")),
    "order.bad-signature",
  ],
  "a text that is no order": [() => Buffer.from("yes"), "order.invalid"],
};

for (const [what, [make, code]] of Object.entries(REFUSED))
  test(`[LCK-12] an order for ${what} confirms nothing, and the right one still does`, async (t) => {
    const { lockdown, trial } = await onTrial();
    await t.rejects(lockdown.confirm(make(trial)), { code });
    t.equal(lockdown.status().at, "pending");
    await lockdown.confirm(lockdownOrder(trial));
    t.equal(lockdown.status().at, "confirmed");
  });

test("[LCK-12] an order under the id of a stolen key is not that key's", async (t) => {
  const { lockdown, trial } = await onTrial();
  const thief = { publicKey: confirmer.publicKey, privateKey: generateKeyPairSync("ed25519").privateKey };
  await t.rejects(lockdown.confirm(lockdownOrder(trial, {}, thief)), { code: "order.bad-signature" });
});

test("[LCK-12] the order of an earlier trial of the same policy does not confirm the next one", async (t) => {
  const { rig, lockdown, trial } = await onTrial();
  const old = lockdownOrder(trial);
  await rig.clock.advance(60_000);
  const next = await lockdown.propose(policyBytes(), 8);
  t.equal(next.planHash, trial.planHash);
  await t.rejects(lockdown.confirm(old), { code: "order.replayed" });
  await lockdown.confirm(lockdownOrder(next));
});

test("[LCK-12] while the clock cannot be trusted, the nonce alone bounds an order's life", async (t) => {
  const { rig, lockdown, trial } = await onTrial();
  rig.clockTrusted = false;
  await lockdown.confirm(lockdownOrder(trial, { notAfter: "2025-12-31T23:59:59.999Z" }));
  t.equal(lockdown.status().at, "confirmed");
});

test("[LCK-12] the new policy's keys confirm it: its signature was checked when it arrived", async (t) => {
  const rig = lockdownRig();
  const lockdown = await rig.open();
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const confirmKeys = [other.publicKey.export({ format: "der", type: "spki" }).toString("base64")];
  const trial = await lockdown.propose(policyBytes({ confirmKeys }), 7);
  await t.rejects(lockdown.confirm(lockdownOrder(trial)), { code: "order.bad-signature" });
  await lockdown.confirm(lockdownOrder(trial, {}, other));
  t.equal(lockdown.status().at, "confirmed");
});
