// Puts policies in force in turn. Arguments: document and table of each policy.
import { readFileSync } from "node:fs";
import { linuxFirewall } from "../../../hal/linux/firewall/index.ts";
import type { UsbTree } from "../../../hal/ports.ts";
import { applyPlan } from "../../../warden/lockdown/apply.ts";
import { parsePolicy } from "../../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../../warden/lockdown/plan/index.ts";
import { labSnapshot } from "../../lab/worlds/lockdown.ts";
import { serveRounds } from "./rounds.ts";

const files = process.argv.slice(2);
const documents = files.filter((_, n) => n % 2 === 0).map((file) => readFileSync(file));
const nothing = async (): Promise<void> => undefined;
/** A machine without USB. */
const usb: UsbTree = {
  read: async () => ({ controllers: [], ports: [], devices: [] }),
  plugged: async () => "",
  setDefault: nothing,
  setDevice: nothing,
  setPort: nothing,
};
const firewall = linuxFirewall();

serveRounds(async (count) => {
  let planMs = 0;
  for (let done = 0; done < count; done += 1) {
    const started = performance.now();
    const plan = planLockdown(parsePolicy(documents[done % documents.length] ?? new Uint8Array()), labSnapshot());
    planMs += performance.now() - started;
    await applyPlan(plan, { firewall, usb });
  }
  return { planMs };
});
