// Attacks on the lockdown: policies that nobody signed.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { policyBytes } from "../../lab/worlds/lockdown.ts";
import type { AttacksOn } from "./attack.ts";

export const LOCKDOWN_ATTACKS: AttacksOn<"lockdown"> = {
  "lockdown.read": async ({ t, peer, refused }) => {
    await refused("lockdown.read", { of: "/etc/shadow" }, /protocol\.invalid/u);
    await refused("lockdown.read", { policy: "" }, /protocol\.invalid/u);
    const answer = await peer.ask("lockdown.read", {});
    t.match(answer, { result: { state: { at: "base" }, open: Array, usb: Array } });
    t.notMatch(JSON.stringify(answer), /nonce|private|secret/iu, "no nonce while nothing is on trial, and never a secret");
  },

  "lockdown.preview": async ({ t, peer, refused }) => {
    const lockdown = async (): Promise<string> => JSON.stringify(await peer.ask("lockdown.read", {})).replace(/"id":\d+/u, "");
    const before = await lockdown();
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    for (const args of [
      {},
      { policy: "/etc/shadow" },
      { policy: { mode: "shut" } },
      { policy: "A".repeat(60_000) },
      { policy: base64("{}"), counter: 9 },
      { policy: base64("{}"), apply: true },
    ])
      await refused("lockdown.preview", args, /protocol\.invalid/u);
    for (const text of ["", "no policy", "{}", '{"v":1,"mode":"open"}', "[".repeat(20_000)])
      await refused("lockdown.preview", { policy: base64(text) }, /lockdown\.invalid/u);
    const wideOpen = Buffer.from(policyBytes({ mode: "enforce", confirmWithinS: 600 })).toString("base64");
    t.match(await peer.ask("lockdown.preview", { policy: wideOpen }), { result: { planHash: /^sha256:/u } });
    t.equal(await lockdown(), before, "a preview changes nothing that is in force");
    for (let n = 0; n < 20; n++) await peer.ask("lockdown.preview", { policy: wideOpen });
    await refused("lockdown.preview", { policy: wideOpen }, /protocol\.rate-limited/u);
    t.equal(await lockdown(), before, "nor after a flood");
  },

  "lockdown.enforced": async ({ t, peer, refused }) => {
    for (const args of [{}, { of: "trial" }, { of: "/etc/shadow" }, { of: "now", plan: {} }])
      await refused("lockdown.enforced", args, /protocol\.invalid/u);
    t.match(await peer.ask("lockdown.enforced", { of: "now" }), { result: { planHash: /^sha256:/u, plan: { v: 1 } } });
    await refused("lockdown.enforced", { of: "before-trial" }, /lockdown\.not-pending/u);
  },

  "lockdown.propose": async ({ t, lab, peer, refused }) => {
    const lockdown = async (): Promise<string> => JSON.stringify(await peer.ask("lockdown.read", {})).replace(/"id":\d+/u, "");
    const before = await lockdown();
    const policy = Buffer.from(policyBytes()).toString("base64");
    for (const args of [{ policy }, { policy, counter: 9 }, { counter: 9 }, { target: "policy/mine.json" }, { force: true }])
      await refused("lockdown.propose", args, /protocol\.invalid/u);
    for (let n = 0; n < 12; n++) await refused("lockdown.propose", {}, /lockdown\.unchanged/u);
    t.equal(await lockdown(), before, "nothing is on trial that nobody signed");
    t.notOk(existsSync(join(lab.board.wardenState, "lockdown/lockdown.json")), "and no intent was recorded");
  },
};
