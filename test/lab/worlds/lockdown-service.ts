// Lockdown as the warden runs it, on a machine in memory or on real parts.
import { Fault } from "../../../hal/fault.ts";
import type { NetworkFacts } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { type LockdownOptions, type LockdownService, type SignedPolicy, startLockdown } from "../../../warden/lockdown/index.ts";
import { type FakeFirewall, fakeFirewall } from "../counterparts/network-probe.ts";
import { type FakeClock, fakeClock } from "../fakes/clock.ts";
import { type FakeFiles, fakeFiles } from "../fakes/files.ts";
import { DEVICE_ID, NO_USB, policyBytes } from "./lockdown.ts";
import { type FakeUsbTree, fakeUsbTree } from "../fakes/usb-tree.ts";
import type { TestContext } from "../runner/context.ts";
import { eventually } from "../runner/process.ts";

export const NETWORK: NetworkFacts = {
  links: [
    { name: "eth0", usb: undefined, dhcp4: "unused", dhcp6: "unused", below: [] },
    { name: "eth1", usb: undefined, dhcp4: "unused", dhcp6: "unused", below: [] },
  ],
  routes: [{ link: "eth0", family: 4, bytes: [0, 0, 0, 0], length: 0 }],
  ways: [],
  detours: [],
  nameServers: [],
  nameService: "unused",
  dnsOverTls: "unused",
};

/** A policy as the warden's trust store returns it. */
export function signed(counter: number, change: Readonly<Record<string, unknown>> = {}): SignedPolicy {
  return { target: `policy/lab-${counter}.json`, counter, digest: `${counter}`.padStart(64, "0"), bytes: policyBytes(change) };
}

export interface ServiceRig {
  readonly clock: FakeClock;
  readonly files: FakeFiles;
  readonly firewall: FakeFirewall;
  readonly usb: FakeUsbTree;
  /** Undefined: it cannot be read. */
  network: NetworkFacts | undefined;
  policy: SignedPolicy | undefined;
  readonly log: AuditEntry[];
  readonly faults: Fault[];
  start(change?: Partial<LockdownOptions>): Promise<LockdownService>;
  /** The names of the recorded events, in order. */
  events(): readonly string[];
}

export function serviceRig(t: TestContext): ServiceRig {
  const rig: ServiceRig = {
    clock: fakeClock(),
    files: fakeFiles(),
    firewall: fakeFirewall(),
    usb: fakeUsbTree({
      ...NO_USB,
      controllers: [{ name: "usb1", authorizedDefault: 1 }],
      ports: [{ name: "1-2", disabled: false, peer: undefined }],
    }),
    network: NETWORK,
    policy: undefined,
    log: [],
    faults: [],
    events: () => rig.log.map(({ event }) => event),
    start: async (change = {}) => {
      const service = await startLockdown({
        firewall: rig.firewall,
        deadManSwitch: undefined,
        heartbeat: () => undefined,
        usb: rig.usb,
        network: {
          read: async () => {
            if (rig.network === undefined) throw new Fault("file.read-failed", "read the network: as planned");
            return rig.network;
          },
        },
        files: rig.files,
        clock: rig.clock,
        deviceId: DEVICE_ID,
        console: "ttyS0",
        hubEndpoints: [{ address: undefined, port: 8883 }],
        base: policyBytes({ usb: {} }),
        clockTrusted: () => true,
        policy: () => rig.policy,
        record: async (entry) => void rig.log.push(entry),
        report: (fault) => void rig.faults.push(fault),
        ...change,
      });
      t.teardown(() => service.stop());
      return service;
    },
  };
  return rig;
}

/** Waits, by the real clock, until `holds`. @throws Fault `process.timeout`. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  await eventually(what, async () => ((await holds()) ? true : undefined));
}
