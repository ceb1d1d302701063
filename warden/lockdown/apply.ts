// Carries a plan out. What shuts comes first and must succeed; what opens comes last and may fail. [LCK-5] [LCK-7]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Firewall, UsbTree } from "../../hal/ports.ts";
import type { Plan } from "./format/index.ts";
import { type UsbStep, usbSteps } from "./plan/index.ts";
import { opens } from "./plan/usb.ts";

export interface Executors {
  readonly firewall: Firewall;
  readonly usb: UsbTree;
}

/**
 * [LCK-5] Tried first, so that a table the kernel does not take changes nothing.
 * @returns what could not be opened: the machine is as shut as planned.
 * @throws Fault `firewall.*`, `usb.*`, `lockdown.not-in-force` when something that should be shut may be open.
 */
export async function applyPlan(plan: Plan, executors: Executors): Promise<readonly Fault[]> {
  await executors.firewall.check(plan.firewall);
  await shutBy(plan, executors);
  const steps = usbSteps(plan.usb, await executors.usb.read());
  const faults: Fault[] = [];
  for (const step of steps.filter((one) => opens(one))) faults.push(...(await attempt(() => perform(step, executors.usb))));
  return faults.filter(({ code }) => code !== "usb.gone"); // unplugged on the way
}

/** Shuts what `plan` shuts, one part even if another fails. @throws the first Fault of those met. */
export async function shutBy(plan: Plan, { firewall, usb }: Executors): Promise<void> {
  const [fault] = [...(await attempt(() => putTable(plan.firewall, firewall))), ...(await shutUsb(plan, usb))];
  if (fault !== undefined) throw fault;
}

/** @returns true when the machine is as planned: nothing to do. */
export async function isInForce(plan: Plan, { firewall, usb }: Executors): Promise<boolean> {
  return (await firewall.read()) === plan.firewall && usbSteps(plan.usb, await usb.read()).length === 0;
}

async function putTable(table: string, firewall: Firewall): Promise<void> {
  await firewall.replace(table);
  const found = await firewall.read();
  if (found !== table)
    throw new Fault(
      "lockdown.not-in-force",
      `read the firewall back: ${firstDifference(table, found ?? "")}; another program may write to the table`,
    );
}

/** Every step is tried, as one device that does not obey must not keep the others open. */
async function shutUsb(plan: Plan, usb: UsbTree): Promise<readonly Fault[]> {
  const faults: Fault[] = [];
  const read = await attempt(async () => {
    for (const step of usbSteps(plan.usb, await usb.read()).filter((one) => !opens(one)))
      faults.push(...(await attempt(() => perform(step, usb))));
  });
  return [...read, ...faults].filter(({ code }) => code !== "usb.gone");
}

async function perform(step: UsbStep, usb: UsbTree): Promise<void> {
  switch (step.do) {
    case "set-default":
      return await usb.setDefault(step.controller, "none");
    case "set-port":
      return await usb.setPort(step.port, step.disabled);
    case "set-device":
      return await usb.setDevice(step.device, step.authorized);
  }
}

async function attempt(work: () => Promise<void>): Promise<readonly Fault[]> {
  try {
    await work();
    return [];
  } catch (error) {
    return [asFault(error, "assert.broken", "apply a lockdown plan")];
  }
}

function firstDifference(planned: string, found: string): string {
  if (found === "") return "there is no table";
  const [ours, theirs] = [planned.split("\n"), found.split("\n")];
  const at = ours.findIndex((line, i) => line !== theirs[i]);
  return `planned "${(ours[at] ?? "").trim()}", found "${(theirs[at] ?? "").trim()}"`;
}
