// The application of a plan to the packet filter and the USB tree. Steps that shut come first and
// must succeed; steps that open come last and may fail. [LCK-5] [LCK-7]
import { asFault, Fault } from "../../hal/fault.ts";
import type { Firewall, UsbState, UsbTree } from "../../hal/ports.ts";
import type { Plan } from "./format/index.ts";
import { isOpening, type UsbStep, usbSteps } from "./plan/index.ts";

export interface Executors {
  readonly firewall: Firewall;
  readonly usb: UsbTree;
}

/**
 * [LCK-5] The table goes first: one that the kernel refuses changes nothing, and then nothing of
 * USB is touched either.
 * @returns what could not be opened: then the machine is at least as shut as planned.
 * @throws Fault `firewall.*`, `usb.*`, `lockdown.not-in-force` when something that should be shut
 *   may be open.
 */
export async function applyPlan(plan: Plan, { firewall, usb }: Executors): Promise<readonly Fault[]> {
  const failures = await attempt(() => putTable(plan.firewall, firewall));
  const refusal = failures.find(({ code }) => code === "firewall.refused");
  if (refusal !== undefined) throw refusal;
  // after any other failure the table may be in force, so USB is shut as well
  const [fault] = [...failures, ...(await shutUsb(plan, usb))];
  if (fault !== undefined) throw fault;
  return await openUsb(plan, usb);
}

/** The USB part of {@link applyPlan}. */
export async function applyUsb(plan: Plan, usb: UsbTree): Promise<readonly Fault[]> {
  const [fault] = await shutUsb(plan, usb);
  if (fault !== undefined) throw fault;
  return await openUsb(plan, usb);
}

/**
 * Shuts what `plan` shuts. If one part fails, the others are shut all the same.
 * @throws the first Fault that occurred.
 */
export async function shutBy(plan: Plan, { firewall, usb }: Executors): Promise<void> {
  const [fault] = [...(await attempt(() => putTable(plan.firewall, firewall))), ...(await shutUsb(plan, usb))];
  if (fault !== undefined) throw fault;
}

/** The part of the machine's state that a plan determines. */
export interface AppliedState {
  readonly table: string | undefined;
  readonly usb: UsbState;
}

/**
 * [LCK-14] What somebody else changed on a machine on which `plan` was in force: what differs from
 * the plan now and did not when it was applied. What is new since then, and what could not be
 * opened then, was not changed by others.
 */
export function undoneBy(plan: Plan, then: UsbState, now: AppliedState): readonly string[] {
  const table = now.table === plan.firewall ? [] : [tableChange(plan.firewall, now.table)];
  return [...table, ...usbSteps(plan.usb, now.usb).flatMap((step) => (wasDone(step, then) ? [stepText(step)] : []))];
}

const TABLE_CHANGE = "packet filter: ";

export function tableChange(planned: string, found: string | undefined): string {
  return `${TABLE_CHANGE}${firstDifference(planned, found ?? "")}`;
}

/** Whether our table is among what others have changed. */
export function isTableAmong(what: readonly string[]): boolean {
  return what.some((one) => one.startsWith(TABLE_CHANGE));
}

function wasDone(step: UsbStep, { controllers, ports, devices }: UsbState): boolean {
  switch (step.do) {
    case "set-default":
      return controllers.some(({ name, authorizedDefault }) => name === step.controller && authorizedDefault === 0);
    case "set-port":
      return ports.some(({ name, disabled }) => name === step.port && disabled === step.disabled);
    case "set-device":
      return devices.some(
        ({ port, number, authorized }) =>
          port === step.device.port && number === step.device.number && authorized === step.authorized,
      );
  }
}

function stepText(step: UsbStep): string {
  switch (step.do) {
    case "set-default":
      return `USB ${step.controller}: it authorized new devices by default`;
    case "set-port":
      return `USB port ${step.port}: it was ${step.disabled ? "enabled" : "disabled"}`;
    case "set-device":
      return `USB device at ${step.device.port}: it was ${step.authorized ? "deauthorized" : "authorized"}`;
  }
}

async function openUsb(plan: Plan, usb: UsbTree): Promise<readonly Fault[]> {
  const faults: Fault[] = [];
  for (const step of usbSteps(plan.usb, await usb.read()).filter((step) => isOpening(step)))
    faults.push(...(await attempt(() => perform(step, usb))));
  return faults.filter(({ code }) => code !== "usb.gone"); // the device was unplugged meanwhile
}

async function putTable(table: string, firewall: Firewall): Promise<void> {
  const found = await firewall.replace(table);
  if (found !== table)
    throw new Fault(
      "lockdown.not-in-force",
      `read the firewall back: ${firstDifference(table, found ?? "")}; another program may write to the table`,
    );
}

/** Tries every step: one device that fails must not leave the others open. */
async function shutUsb(plan: Plan, usb: UsbTree): Promise<readonly Fault[]> {
  const faults: Fault[] = [];
  const read = await attempt(async () => {
    for (const step of usbSteps(plan.usb, await usb.read()).filter((step) => !isOpening(step)))
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
