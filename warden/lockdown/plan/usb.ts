// The USB rules: which devices may work, by what a device claims and by where it is plugged in.
// [LCK-7] [LCK-8] [LCK-9]
import { canonicalJson } from "../../../hal/format/json.ts";
import { printable } from "../../../hal/format/text.ts";
import type { UsbDevice, UsbPort, UsbState, WayBack } from "../../../hal/ports.ts";
import type { Plan, UsbRule } from "../format/index.ts";
import { matches, nearest, SERIAL_SHOWN_MAX } from "./usb-nearest.ts";

type Rules = Pick<Plan["usb"], "allow" | "disable">;
type Verdict = Plan["usb"]["devices"][number];

/** A change that makes the tree as planned. Steps that shut come first. */
export type UsbStep =
  | { readonly do: "set-default"; readonly controller: string }
  | { readonly do: "set-port"; readonly port: string; readonly disabled: boolean }
  | { readonly do: "set-device"; readonly device: UsbDevice; readonly authorized: boolean };

/** [LCK-4] The rules in a fixed order, each once, with sorted interfaces. */
export function sortedRules(rules: readonly UsbRule[]): UsbRule[] {
  const normalized = rules.map((rule) =>
    "descriptors" in rule ? rule : { ...rule, interfaces: [...new Set(rule.interfaces)].sort() },
  );
  const unique = new Map(normalized.map((rule) => [canonicalJson(rule), rule]));
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule);
}

/** [LCK-9] A USB 3 socket is two ports: with one of them enabled, a device comes up on that one. */
export function withPeers(disable: readonly string[], ports: readonly UsbPort[]): string[] {
  const wanted = new Set(disable);
  const peers = ports
    .filter(({ name, peer }) => wanted.has(name) || (peer !== undefined && wanted.has(peer)))
    .map(({ name }) => name);
  const named = ports.filter(({ name }) => wanted.has(name)).flatMap(({ peer }) => (peer === undefined ? [] : [peer]));
  return [...new Set([...disable, ...peers, ...named])].sort();
}

/** [LCK-8] One verdict for each device, in the order of their ports. */
export function judgeDevices(rules: Rules, devices: readonly UsbDevice[]): Verdict[] {
  return devices
    .map((device): Verdict => {
      const objection = objectionTo(device, rules, devices);
      return { port: device.port, authorized: objection === undefined, why: objection ?? `allowed: ${claimed(device)}` };
    })
    .sort((a, b) => (a.port < b.port ? -1 : 1));
}

/**
 * [LCK-7] The changes that `state` needs, none when it is as planned. New controllers and devices
 * are treated like all others.
 */
export function usbSteps(rules: Rules, state: UsbState): readonly UsbStep[] {
  const disabled = new Set(withPeers(rules.disable, state.ports));
  const allowed = allowedIn(rules, state);
  const defaults = state.controllers
    .filter(({ authorizedDefault }) => authorizedDefault !== 0)
    .map(({ name }): UsbStep => ({ do: "set-default", controller: name }));
  const ports = state.ports
    .filter((port) => port.disabled !== disabled.has(port.name) && !(port.disabled === undefined && !disabled.has(port.name)))
    .map(({ name }): UsbStep => ({ do: "set-port", port: name, disabled: disabled.has(name) }));
  const devices = state.devices
    .filter(({ port, authorized }) => authorized !== allowed.has(port))
    .map((device): UsbStep => ({ do: "set-device", device, authorized: allowed.has(device.port) }));
  return [...defaults, ...[...ports, ...devices].sort((a, b) => Number(isOpening(a)) - Number(isOpening(b)))];
}

/**
 * [LCK-15] What is open once `rules` are in force and would not be under the rules `before`: it is
 * shut when they come back without us. What both allow is not among it.
 */
export function openedBeyond(before: Rules, rules: Rules, state: UsbState): Pick<WayBack, "devices" | "ports"> {
  const [earlier, later] = [allowedIn(before, state), allowedIn(rules, state)];
  const disabled = new Set(withPeers(rules.disable, state.ports));
  return {
    devices: state.devices.filter(({ port, authorized }) => !earlier.has(port) && (authorized || later.has(port))),
    ports: withPeers(before.disable, state.ports).filter((port) => !disabled.has(port)),
  };
}

/** The ports of the devices that the rules allow. */
export function allowedIn(rules: Rules, { devices, ports }: UsbState): ReadonlySet<string> {
  const verdicts = judgeDevices({ ...rules, disable: withPeers(rules.disable, ports) }, devices);
  return new Set(verdicts.filter(({ authorized }) => authorized).map(({ port }) => port));
}

export function isOpening(step: UsbStep): boolean {
  return (step.do === "set-device" && step.authorized) || (step.do === "set-port" && !step.disabled);
}

/** @returns why the device may not work; undefined when it may. */
function objectionTo(device: UsbDevice, { allow, disable }: Rules, devices: readonly UsbDevice[]): string | undefined {
  const { claims, port } = device;
  if (disable.some((one) => isAt(port, one))) return "its port is disabled";
  const rules = allow.filter((rule) => matches(rule, device));
  if (rules.length === 0)
    return (claims === undefined ? unclaimed(device) : `no rule for ${claimed(device)}`) + nearest(allow, device);
  if (rules.every((rule) => isCopied(device, rule, devices)))
    return `another device claims the serial number "${printable(claims?.serial ?? "", SERIAL_SHOWN_MAX)}"`;
  return undefined;
}

/**
 * A device that copies a serial number is refused. The device that had it first is the one that is
 * already authorized. A device that no rule would authorize anyway does not count as a copy.
 * [LCK-33]
 */
function isCopied(device: UsbDevice, rule: UsbRule, devices: readonly UsbDevice[]): boolean {
  if ("descriptors" in rule || rule.serial === undefined) return false;
  const twins = devices.filter((other) => other !== device && matches({ ...rule, port: undefined }, other));
  return twins.length > 0 && (!device.authorized || twins.some(({ authorized }) => authorized));
}

/**
 * [LCK-73] A device without claims: what is wrong with it, and how the owner lets it in on purpose,
 * if at all.
 */
function unclaimed({ port, descriptors, flaw }: UsbDevice): string {
  const broken = `its descriptors make no sense${flaw === undefined ? "" : `: ${flaw}`}`;
  if (descriptors === undefined) return `${broken}; no rule can let it in`;
  return `${broken}; only a rule of its own lets it in: "port": "${port}", "descriptors": "sha256:${descriptors}"`;
}

/** At that port, or behind a hub there. */
function isAt(port: string, disabled: string): boolean {
  return port === disabled || port.startsWith(`${disabled}.`);
}

/** What the device claims to be, for people: printable and short. */
function claimed({ claims }: UsbDevice): string {
  if (claims === undefined) return "nothing";
  const serial = claims.serial === undefined ? "no serial number" : `serial "${printable(claims.serial, SERIAL_SHOWN_MAX)}"`;
  return `${claims.vendor}:${claims.product}, ${serial}, interfaces ${claims.interfaces.slice(0, 8).join(" ")}`;
}
