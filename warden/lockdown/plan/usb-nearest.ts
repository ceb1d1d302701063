// How a USB device differs from a rule, and which rule it comes nearest to: a refusal says which
// part of that rule did not match, so that its owner need not compare by eye. [LCK-72]
import { printable } from "../../../hal/format/text.ts";
import type { UsbDevice } from "../../../hal/ports.ts";
import type { UsbRule } from "../format/index.ts";

/** Characters of a serial number in a message. */
export const SERIAL_SHOWN_MAX = 40;
/** Interfaces in a message. */
const INTERFACES_SHOWN_MAX = 4;

/** A part of a rule that does not match, and how; none when the text is empty. */
interface Difference {
  readonly part: "device" | "serial" | "port" | "interfaces" | "descriptors";
  /** For people; printable. */
  readonly text: string;
}

export function matches(rule: UsbRule, { claims, port, descriptors }: UsbDevice): boolean {
  if (rule.port !== undefined && port !== rule.port) return false;
  if ("descriptors" in rule) return descriptors !== undefined && rule.descriptors === `sha256:${descriptors}`;
  return (
    claims !== undefined &&
    claims.vendor === rule.vendor &&
    claims.product === rule.product &&
    (rule.serial === undefined || claims.serial === rule.serial) &&
    claims.interfaces.join() === rule.interfaces.join()
  );
}

/**
 * [LCK-72] @returns the end of a refusal: what of the nearest rule does not match. Empty when no
 * rule is near: neither of this kind of device, nor of its serial number, nor of its port.
 */
export function nearest(rules: readonly UsbRule[], device: UsbDevice): string {
  const near = rules
    .filter((rule) => isNear(rule, device))
    .map((rule) => ({ rule, differ: differences(rule, device) }))
    .toSorted((a, b) => distance(a.differ) - distance(b.differ))[0];
  return near === undefined
    ? ""
    : `; the nearest rule, ${named(near.rule)}, differs: ${near.differ.map(({ text }) => text).join("; ")}`;
}

function isNear(rule: UsbRule, { claims, port, descriptors }: UsbDevice): boolean {
  if (rule.port === port) return true;
  if ("descriptors" in rule) return descriptors !== undefined && rule.descriptors === `sha256:${descriptors}`;
  if (claims === undefined) return false;
  const isThisKind = claims.vendor === rule.vendor && claims.product === rule.product;
  return isThisKind || (rule.serial !== undefined && claims.serial === rule.serial);
}

function differences(rule: UsbRule, { claims, port, descriptors }: UsbDevice): readonly Difference[] {
  const found: Difference[] = [];
  const differs = (part: Difference["part"], text: string): void => void found.push({ part, text });
  if ("descriptors" in rule) {
    if (rule.descriptors !== `sha256:${descriptors}`)
      differs(
        "descriptors",
        descriptors === undefined ? "its descriptors cannot be read" : `its descriptors have the hash sha256:${descriptors}`,
      );
  } else {
    if (claims?.vendor !== rule.vendor || claims.product !== rule.product) differs("device", "it is another device");
    if (rule.serial !== undefined && claims?.serial !== rule.serial)
      differs("serial", `its serial number is ${numberText(claims?.serial)}, not ${numberText(rule.serial)}`);
    differs("interfaces", interfacesText(claims?.interfaces ?? [], rule.interfaces));
  }
  if (rule.port !== undefined && rule.port !== port) differs("port", `it is at ${port}, not at ${rule.port}`);
  return found.filter(({ text }) => text !== "");
}

/** @returns an empty text when the device has exactly the interfaces of the rule. */
function interfacesText(has: readonly string[], may: readonly string[]): string {
  const [more, missing] = [has.filter((one) => !may.includes(one)), may.filter((one) => !has.includes(one))];
  const texts = [
    ...(more.length === 0 ? [] : [`it also has ${listed(more)}`]),
    ...(missing.length === 0 ? [] : [`it lacks ${listed(missing)}`]),
  ];
  return texts.length === 0 ? "" : `of the interfaces, ${texts.join(" and ")}`;
}

/** Another kind of device is farther away than any number of other parts. */
function distance(differ: readonly Difference[]): number {
  return differ.reduce((sum, { part }) => sum + (part === "device" || part === "descriptors" ? 8 : 1), 0);
}

function named(rule: UsbRule): string {
  return "descriptors" in rule ? `for descriptors at ${rule.port}` : `for ${rule.vendor}:${rule.product}`;
}

function numberText(serial: string | undefined): string {
  return serial === undefined ? "missing" : `"${printable(serial, SERIAL_SHOWN_MAX)}"`;
}

function listed(interfaces: readonly string[]): string {
  const shown = interfaces.slice(0, INTERFACES_SHOWN_MAX).join(" ");
  return interfaces.length > INTERFACES_SHOWN_MAX ? `${shown} and ${interfaces.length - INTERFACES_SHOWN_MAX} more` : shown;
}
