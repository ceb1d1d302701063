// Policies and machines for tests of lockdown.
import { generateKeyPairSync } from "node:crypto";
import type { UsbDevice, UsbState } from "../../hal/ports.ts";
import { parsePolicy, type Policy } from "../../warden/lockdown/format/index.ts";
import type { Snapshot } from "../../warden/lockdown/snapshot.ts";
import type { Plugged } from "./usb-tree.ts";

export const confirmer = generateKeyPairSync("ed25519");
export const CONFIRM_KEY = confirmer.publicKey.export({ format: "der", type: "spki" }).toString("base64");

/** The document as its author writes it; `change` replaces members. */
export function policyBytes(change: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const document = {
    v: 1,
    name: "lab",
    mode: "enforce",
    links: [{ name: "eth0", dhcp4: true, ipv6: true }],
    network: {
      management: ["198.18.7.3", "fd5a:7::/64"],
      inbound: [{ link: "eth0", protocol: "tcp", ports: [8080], from: "any" }],
      outbound: [{ protocol: "udp", ports: [53], to: ["198.18.7.1"] }],
    },
    usb: { allow: [{ vendor: "0951", product: "1666", serial: "60A44C413FAE", interfaces: ["08:06:50"] }], disable: ["1-2"] },
    serial: { console: "ttyS0" },
    confirmKeys: [CONFIRM_KEY],
    confirmWithinS: 60,
    ...change,
  };
  return Buffer.from(JSON.stringify(document));
}

export function labPolicy(change: Readonly<Record<string, unknown>> = {}): Policy {
  return parsePolicy(policyBytes(change));
}

export const NO_USB: UsbState = { controllers: [], ports: [], devices: [] };

export function labSnapshot(change: Partial<Snapshot> = {}): Snapshot {
  return {
    links: [
      { name: "eth0", uplink: true, dhcp4: true, dhcp6: false, usb: undefined },
      { name: "eth1", uplink: false, dhcp4: false, dhcp6: false, usb: undefined },
    ],
    hub: [
      { address: undefined, port: 8443 },
      { address: undefined, port: 8883 },
    ],
    nameServers: ["198.18.7.1"],
    console: "ttyS0",
    usb: NO_USB,
    ...change,
  };
}

/** As a UsbTree reads it. */
export function seen(port: string, device: Plugged, authorized = false, number = 2): UsbDevice {
  const { vendor, product, serial, interfaces } = device;
  return {
    port,
    number,
    authorized,
    descriptors: `${vendor}${product}${interfaces.join()}`,
    claims: { vendor, product, serial, interfaces: [...interfaces].sort() },
  };
}
