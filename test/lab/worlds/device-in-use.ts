// A device in use, for tests of what it finds in its state: born, its clock set, with a roster, a
// confirmed policy and a committed release.
import { canonicalJson, type JsonValue } from "../../../hal/format/json.ts";
import { challengeText, orderOfAnswer, parseChallenge } from "../../../warden/orders/format/index.ts";
import { hubTime } from "../counterparts/hub-signer.ts";
import { labCustom } from "../counterparts/repository.ts";
import type { TestContext } from "../runner/context.ts";
import { lockdownOrder, policyBytes } from "./lockdown.ts";
import { type Operator, operator } from "./orders.ts";
import { DEVICE, rosterText } from "./targets.ts";
import {
  broughtTo,
  type RunningWarden,
  type WardenAnswer,
  type WardenFiles,
  type WholeWarden,
  wholeWarden,
} from "./whole-warden.ts";

/** The fingerprint of the device key at its birth. */
export const KEY = `sha256:${"ab".repeat(32)}`;

/** Leaves the records of such a device in `files`. The warden that wrote them is stopped. */
export async function deviceInUse(
  t: TestContext,
  files: WardenFiles,
): Promise<{ readonly world: WholeWarden; readonly owner: Operator }> {
  const world = wholeWarden(t, DEVICE);
  const owner = operator("ada", "owner");
  const roster = rosterText({ operators: [{ id: "ada", roles: ["owner"], keys: [owner.key] }] });
  world.repository.addTarget("operators", "operators/roster-1", roster, labCustom({ line: "operators" }));
  addPolicy(world, 2);
  world.repository.publish("operators", "policy");
  const release = { target: "os/gw-2.json", digest: "7".repeat(64), line: "os", counter: 2, floorAfterCommit: 1 };
  const put = (name: string, value: JsonValue): Promise<void> => files.update.put(name, Buffer.from(canonicalJson(value)));
  await put("floors.json", { v: 1, serial: 1, lines: { os: { committed: 2, floor: 1 } } });
  await put("update.json", { v: 1, phase: { at: "committed", release, slot: "a" }, quarantined: [] });
  await put("approved.json", { v: 1, digest: "7".repeat(64) });
  await files.state.put("audit-pending.json", Buffer.from(canonicalJson({ v: 1, dropped: 0, droppedTotal: 5 })));
  const warden = await world.start(files);
  await warden.ask("birth.record", { protection: "file", keyFingerprint: KEY });
  const { result } = await warden.ask("time.nonce", {});
  await warden.ask("time.set", hubTime(world.hub.time, DEVICE, String(result?.["nonce"]), world.clock.nowMs()));
  await broughtTo(world, warden, "trust.refresh", {});
  await confirmPolicy(warden);
  await orderKeyUpgrade(warden, owner);
  await warden.stop();
  return { world, owner };
}

/** Grants the replacement of a file key by one in the TPM. @returns the answer to the order. */
export async function orderKeyUpgrade(warden: RunningWarden, owner: Operator): Promise<WardenAnswer> {
  const { result: offered } = await warden.ask("key.offer", { protection: "tpm" });
  const { result } = await warden.ask("order.nonce", { verb: "key.upgrade" });
  const challenge = challengeText({
    verb: "key.upgrade",
    deviceId: DEVICE,
    nonce: String(result?.["nonce"]),
    planHash: String(offered?.["planHash"]),
  });
  const order = JSON.stringify(orderOfAnswer(parseChallenge(challenge), owner.answer(challenge)));
  return await warden.ask("order.submit", { verb: "key.upgrade", order });
}

/** Adds a policy with this counter, to be published with the role `policy`. */
export function addPolicy({ repository }: WholeWarden, counter: number): void {
  const custom = labCustom({ line: "policy", counter });
  repository.addTarget("policy", `policy/plant-${counter}`, Buffer.from(policyBytes()).toString(), custom);
}

/** Tries the newest policy and confirms it by an order. */
export async function confirmPolicy(warden: RunningWarden): Promise<void> {
  await warden.ask("lockdown.propose", {});
  const { result } = await warden.ask("order.nonce", { verb: "lockdown.confirm" });
  const trial = { nonce: String(result?.["nonce"]), planHash: String(result?.["planHash"]) };
  const order = Buffer.from(lockdownOrder(trial, { notAfter: "2037-01-01T00:00:00.000Z" })).toString();
  await warden.ask("order.submit", { verb: "lockdown.confirm", order });
}
