// Plans on the machine that it runs on: network-probe.ts's namespaces are one. Its one argument is
// what to plan for, as JSON; it prints the facts and, for each policy, plan and risks.
import * as v from "valibot";
import { linuxNetwork } from "../../../hal/linux/network/index.ts";
import { policySchema } from "../../../warden/lockdown/format/index.ts";
import { notKnownNow, planLockdown, risksOf } from "../../../warden/lockdown/plan/index.ts";
import { readProtected } from "../../../warden/lockdown/protected.ts";
import { NO_USB } from "../worlds/lockdown.ts";

const askedSchema = v.strictObject({
  root: v.string(),
  hub: v.array(v.strictObject({ address: v.optional(v.string()), port: v.number() })),
  /** Null: there is no policy. */
  policies: v.array(v.nullable(policySchema)),
});

const asked = v.parse(askedSchema, JSON.parse(process.argv[2] ?? ""));
const facts = {
  ...(await readProtected({
    network: linuxNetwork({ root: asked.root, ip: "ip" }),
    console: undefined,
    hubEndpoints: asked.hub.map(({ address, port }) => ({ address, port })),
  })),
  usb: NO_USB,
};
const plans = asked.policies.map((policy) => {
  const plan = planLockdown(policy ?? undefined, facts);
  return { table: plan.firewall, risks: risksOf(plan, facts), unknown: notKnownNow(plan, facts) };
});
process.stdout.write(JSON.stringify({ facts, plans }));
