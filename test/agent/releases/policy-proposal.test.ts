// Policies in the repository: which one is proposed to the warden, how often, and what the hub
// hears.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { labCustom } from "../../lab/counterparts/repository.ts";
import { emptyRepository, skip, until } from "./published.ts";

const PLAN = `sha256:${"ab".repeat(32)}`;
const trialOf = (nonce: string) => ({ planHash: PLAN, nonce: nonce.repeat(32), confirmWithinMs: 120_000 });

test(
  "[LCK-13] the newest policy for this device is proposed once, a pending trial is reported once after a new connection, and a reverted policy is not proposed again",
  { skip },
  async (t) => {
    const lab = await emptyRepository(t, {
      "lockdown.propose": async () => {
        lab.told.push({ kind: "proposed" });
        lab.warden.says.lockdown = { at: "pending", counter: 3, trial: trialOf("5a") };
        return { counter: 3, trial: trialOf("5a") };
      },
    });
    lab.lab.addTarget("policy", "policy/plant-2", "{}", labCustom({ line: "policy", counter: 2 }));
    lab.lab.addTarget("policy", "policy/plant-3", "{}", labCustom({ line: "policy", counter: 3 }));
    lab.lab.addTarget("policy", "policy/other-4", "{}", labCustom({ line: "policy", counter: 4, audience: { devices: [] } }));
    lab.lab.publish("policy");
    await lab.publish();
    const pending = { kind: "lockdown.pending", counter: 3, planHash: PLAN, nonce: "5a".repeat(32), confirmWithinMs: 120_000 };
    const releases = lab.start();
    const twoChecks = async (): Promise<void> => {
      const before = lab.warden.asked.length;
      const reads = (): number => lab.warden.asked.slice(before).filter((verb) => verb === "lockdown.read").length;
      releases.connected();
      await until("a check", () => reads() > 0);
      releases.repositoryChanged();
      await until("another check", () => reads() > 1);
    };
    const aboutPolicy = (): unknown[] => lab.told.filter((each) => each === "renewed" || each["kind"] !== "update");
    await twoChecks();
    await until("the report", () => aboutPolicy().length === 3);
    t.same(aboutPolicy(), [{ kind: "proposed" }, "renewed", pending]);
    await twoChecks();
    lab.warden.says.lockdown = { at: "base", reverted: { planHash: PLAN, reason: "timeout" } };
    await twoChecks();
    t.equal(aboutPolicy().length, 3, "neither reported nor proposed a second time");
    // [LCK-67] the warden restarted, in order, and this agent did not
    lab.warden.says.lockdown = { at: "base", reverted: { planHash: PLAN, reason: "stopped", again: 2 } };
    await twoChecks();
    t.equal(aboutPolicy().length, 3, "that was another policy");
    lab.warden.says.lockdown = { at: "base", reverted: { planHash: PLAN, reason: "stopped", again: 3 } };
    await twoChecks();
    await until("the policy is proposed again", () => aboutPolicy().length >= 4);
    t.same(aboutPolicy()[3], { kind: "proposed" });
    lab.told.splice(0, lab.told.length, { kind: "proposed" }, "renewed", pending);
    await releases.stop();

    lab.warden.says.lockdown = { at: "pending", counter: 3, trial: trialOf("6b") };
    await rm(join(lab.directory, "metadata"), { recursive: true });
    lab.start().connected();
    await until("the report by the next run of the agent, without a repository", () => aboutPolicy().length === 5);
    t.same(aboutPolicy().slice(3), ["renewed", { ...pending, nonce: "6b".repeat(32) }]);
  },
);

test("[LCK-13] a policy that the warden refuses is a fault, and is not proposed at every check", { skip }, async (t) => {
  let proposals = 0;
  const lab = await emptyRepository(t, {
    "lockdown.propose": async () => {
      proposals += 1;
      throw new Fault("lockdown.unchanged", "it was tried and reverted");
    },
  });
  lab.lab.addTarget("policy", "policy/plant", "{}", labCustom({ line: "policy", counter: 2 }));
  lab.lab.publish("policy");
  await lab.publish();
  const releases = lab.start();
  releases.connected();
  await until("a refusal", () => proposals === 1);
  const checks = (): number => lab.warden.asked.filter((verb) => verb === "lockdown.read").length;
  const before = checks();
  releases.repositoryChanged();
  await until("another check", () => checks() > before);
  t.equal(proposals, 1);
});
