// Attacks on the factory reset: a plan is read, and nothing is wiped without the owner's order.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AttacksOn } from "./attack.ts";

export const RESET_ATTACKS: AttacksOn<"reset"> = {
  "reset.plan": async ({ t, lab, peer, refused }) => {
    for (const args of [{ now: true }, { plan: {} }, { path: "/etc/shadow" }, { keep: [] }])
      await refused("reset.plan", args, /protocol\.invalid/u);
    t.match(await peer.ask("reset.plan", {}), { result: { planHash: /^sha256:/u, plan: { v: 1, kind: "reset-plan" } } });
    t.notOk(existsSync(join(lab.board.birth, "reset")), "nothing is marked for a wipe");
    t.notOk(existsSync(join(lab.board.wardenState, "reset.json")), "and no reset is recorded");
  },
};
