// `sallyport-hub devices ...`: what operators decide. [ID-7]
import { printableJson } from "../../hal/format/text.ts";
import { adopt, approve, deny, forget, revoke } from "../devices/index.ts";
import type { Device } from "../store/index.ts";
import { type HubCommand, JSON_OPTION, STATE_OPTION, type HubTerminal } from "./command.ts";
import { deviceLines } from "./render.ts";
import { deviceIdOf, fingerprintOf, operator, withState } from "./state.ts";

const LIST_MAX = 10_000;
const OPTIONS = { ...STATE_OPTION, ...JSON_OPTION } as const;

export const devicesList: HubCommand = {
  name: "devices list",
  usage: "devices list [--state DIR] [--json]",
  help: "Every id with every key that asked, what was decided, and who is connected.",
  options: OPTIONS,
  args: [],
  run: async (given, terminal) =>
    withState(given, ({ store }) => {
      const devices = store.devices.list(LIST_MAX);
      const connected = (device: Device) => (device.state === "approved" ? store.connections.find(device.id) : undefined);
      if (given.flag("json"))
        for (const device of devices) terminal.out(printableJson({ ...shown(device), connection: connected(device) }));
      else if (devices.length === 0) terminal.out("no device has asked yet");
      else terminal.out(devices.map((device) => deviceLines(device, connected(device))).join("\n\n"));
      return 0;
    }),
};

export const devicesApprove: HubCommand = {
  name: "devices approve",
  usage: "devices approve ID FINGERPRINT [--state DIR] [--changed] [--json]",
  help: "Lets this id in with this key. Compare both with what the device shows on its console first. --changed takes what an approved device says of itself now.",
  options: { ...OPTIONS, changed: { type: "boolean" } },
  args: ["ID", "FINGERPRINT"],
  run: async (given, terminal) =>
    withState(given, (opened) => {
      const decide = given.flag("changed") ? adopt : approve;
      const device = decide(opened, deviceIdOf(given), fingerprintOf(given.arg("FINGERPRINT")), operator());
      return tell(given.flag("json"), terminal, [device], "it gets its certificate when it asks next");
    }),
};

export const devicesDeny: HubCommand = {
  name: "devices deny",
  usage: "devices deny ID [FINGERPRINT] [--state DIR] [--json]",
  help: "Refuses a request; without FINGERPRINT every request of this id that waits.",
  options: OPTIONS,
  args: ["ID", "FINGERPRINT?"],
  run: async (given, terminal) =>
    withState(given, (opened) => {
      const fingerprint = given.optionalArg("FINGERPRINT?");
      const denied = deny(
        opened,
        deviceIdOf(given),
        fingerprint === undefined ? undefined : fingerprintOf(fingerprint),
        operator(),
      );
      return tell(given.flag("json"), terminal, denied, "it is told so when it asks next");
    }),
};

export const devicesRevoke: HubCommand = {
  name: "devices revoke",
  usage: "devices revoke ID [--state DIR] [--json]",
  help: "Takes the approval and all certificates of a device back, for good, and ends its connection.",
  options: OPTIONS,
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, (opened) => {
      const device = revoke(opened, deviceIdOf(given), operator());
      return tell(given.flag("json"), terminal, [device], "a hub that serves ends its connection within a second");
    }),
};

export const devicesForget: HubCommand = {
  name: "devices forget",
  usage: "devices forget ID [FINGERPRINT] [--state DIR] [--json]",
  help: "Takes what was asked, denied or revoked out of the books; without FINGERPRINT all of this id that is not approved. A revoked key stays while a certificate of it is in date.",
  options: OPTIONS,
  args: ["ID", "FINGERPRINT?"],
  run: async (given, terminal) =>
    withState(given, (opened) => {
      const fingerprint = given.optionalArg("FINGERPRINT?");
      const key = fingerprint === undefined ? undefined : fingerprintOf(fingerprint);
      const forgotten = forget(opened, deviceIdOf(given), key, operator());
      return tell(given.flag("json"), terminal, forgotten, "forgotten; with that key it asks like a new one");
    }),
};

function tell(json: boolean, terminal: HubTerminal, devices: readonly Device[], then: string): number {
  for (const device of devices)
    terminal.out(json ? printableJson(shown(device)) : `${device.id} ${device.fingerprint} ${device.state}: ${then}`);
  return 0;
}

/** A device as data: without the request's bytes. */
function shown({ csr: _csr, proposed, ...device }: Device): object {
  return { ...device, changed: proposed !== undefined };
}
