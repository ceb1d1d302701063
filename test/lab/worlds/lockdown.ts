// Policies and machines for tests of lockdown.
import { generateKeyPairSync } from "node:crypto";
import * as v from "valibot";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import type { UsbDevice, UsbState } from "../../../hal/ports.ts";
import { parsePolicy, type Policy } from "../../../warden/lockdown/format/index.ts";
import {
  type Lockdown,
  type LockdownPorts,
  type LockdownReport,
  openLockdown,
  type MachineFacts,
} from "../../../warden/lockdown/index.ts";
import { orderKeyId, orderSchema, signOrder } from "../../../warden/orders/format/index.ts";
import { type FakeFirewall, fakeFirewall } from "../counterparts/network-probe.ts";
import { type FakeDeadManSwitch, fakeDeadManSwitch } from "../fakes/dead-man-switch.ts";
import { type FakeClock, fakeClock } from "../fakes/clock.ts";
import { type FakeFiles, fakeFiles } from "../fakes/files.ts";
import { type FakeUsbTree, fakeUsbTree, KEYBOARD, type Plugged, STICK } from "../fakes/usb-tree.ts";

export const confirmer = generateKeyPairSync("ed25519");
export const CONFIRM_KEY = confirmer.publicKey.export({ format: "der", type: "spki" }).toString("base64");

/** The document as its author writes it. `change` replaces members. */
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

export function labSnapshot(change: Partial<MachineFacts> = {}): MachineFacts {
  return {
    links: [
      { name: "eth0", uplink: "used", dhcp4: "used", dhcp6: "unused", below: [], usb: undefined },
      { name: "eth1", uplink: "unused", dhcp4: "unused", dhcp6: "unused", below: [], usb: undefined },
    ],
    hub: [
      { address: undefined, port: 8443 },
      { address: undefined, port: 8883 },
    ],
    leads: [],
    mayLead: [],
    nameServers: ["198.18.7.1"],
    nameService: "used",
    dnsOverTls: "unused",
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

export const DEVICE_ID = v.parse(deviceIdSchema, "GW-4711");

export interface LockdownRig {
  readonly clock: FakeClock;
  readonly files: FakeFiles;
  readonly firewall: FakeFirewall;
  readonly deadManSwitch: FakeDeadManSwitch;
  readonly usb: FakeUsbTree;
  readonly news: LockdownReport[];
  readonly faults: Fault[];
  /** The state of the machine; undefined when it cannot be read. */
  machine: MachineFacts | undefined;
  clockTrusted: boolean;
  /** Starts the warden on this machine. `change` replaces ports; `held` says why doors are shut. */
  open(change?: Partial<LockdownPorts>, held?: FaultCode): Promise<Lockdown>;
}

/**
 * A machine in memory with one USB controller, its stick, and a keyboard that was plugged in before
 * the lockdown.
 * @param base null for an image without a policy that can be trusted.
 */
export function lockdownRig(
  base: Policy | null = labPolicy({ network: { outbound: [{ protocol: "udp", ports: [53], to: "any" }] }, usb: {} }),
): LockdownRig {
  const rig: LockdownRig = {
    clock: fakeClock(),
    files: fakeFiles(),
    firewall: fakeFirewall(),
    deadManSwitch: fakeDeadManSwitch(),
    usb: fakeUsbTree({
      controllers: [{ name: "usb1", authorizedDefault: 1 }],
      ports: ["1-1", "1-2", "1-3"].map((name) => ({ name, disabled: false, peer: undefined })),
      devices: [seen("1-1", STICK, true), seen("1-3", KEYBOARD, true, 3)],
    }),
    news: [],
    faults: [],
    machine: labSnapshot(),
    clockTrusted: true,
    open: async (change = {}, held) =>
      await openLockdown(
        {
          firewall: rig.firewall,
          deadManSwitch: rig.deadManSwitch,
          usb: rig.usb,
          files: rig.files,
          clock: rig.clock,
          readFacts: async () => {
            if (rig.machine === undefined) throw new Fault("file.read-failed", "look at the machine: as planned");
            return rig.machine;
          },
          clockTrusted: () => rig.clockTrusted,
          audit: (news) => void rig.news.push(news),
          report: (fault) => void rig.faults.push(fault),
          ...change,
        },
        { deviceId: DEVICE_ID, base: base ?? undefined, held },
      ),
  };
  return rig;
}

/** An order as an operator's tool writes it. */
export function lockdownOrder(
  trial: { readonly planHash: string; readonly nonce: string },
  change: Readonly<Record<string, unknown>> = {},
  key = confirmer,
): Uint8Array {
  const order = v.parse(orderSchema, {
    v: 1,
    deviceId: DEVICE_ID,
    verb: "lockdown.confirm",
    notAfter: "2026-01-01T01:00:00.000Z",
    nonce: trial.nonce,
    planHash: trial.planHash,
    ...change,
  });
  return Buffer.from(JSON.stringify(signOrder(order, key.privateKey, orderKeyId(key.publicKey))));
}
