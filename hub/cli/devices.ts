// `sallyport-hub devices ...`: an operator's decisions about devices. [ID-7]
import type { ParseArgsOptionsConfig } from "node:util";
import { Fault } from "../../hal/fault.ts";
import type { DeviceId, Fingerprint } from "../../hal/format/identity.ts";
import { printableJson } from "../../hal/format/text.ts";
import { adopt, approve, auditKeyFingerprint, deny, forget, proposedRequest, revoke } from "../devices/index.ts";
import type { Device } from "../store/index.ts";
import { type Given, type HubCommand, type HubTerminal, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { boundLines, changeLines, deviceLines, escrowLine, iso } from "./render.ts";
import { deviceIdOf, fingerprintOf, type Opened, operator, withState } from "./state.ts";

const LIST_MAX = 10_000;
const OPTIONS = { ...STATE_OPTION, ...JSON_OPTION } as const;

export const devicesList: HubCommand = {
  name: "devices list",
  usage: "devices list [--state DIR] [--json]",
  help: "Lists every id with every key that asked, the decision about it, and whether it is connected.",
  options: OPTIONS,
  args: [],
  run: async (given, terminal) =>
    withState(given, async ({ store }) => {
      const devices = await store.devices.list(LIST_MAX);
      const listed = await Promise.all(
        devices.map(async (device) => ({
          device,
          connection: device.state === "approved" ? await store.connections.find(device.id) : undefined,
        })),
      );
      if (given.flag("json"))
        for (const { device, connection } of listed) terminal.out(printableJson({ ...asData(device), connection }));
      else if (listed.length === 0) terminal.out("no device has asked yet");
      else terminal.out(listed.map(({ device, connection }) => deviceLines(device, connection)).join("\n\n"));
      return 0;
    }),
};

export const devicesApprove = decision({
  name: "devices approve",
  args: ["ID", "FINGERPRINT"],
  flags: ["changed"],
  auditKey: true,
  help: "Approves this id with this key. First compare both, and the audit key, with what the device shows on its console; --audit-key refuses another one. --changed shows what an approved device has changed, old and new, and accepts it; a new audit key must be named with --audit-key, or typed at the prompt.",
  consequence: "it gets its certificate the next time it asks",
  act: async (opened, id, fingerprint, given, terminal) => {
    if (fingerprint === undefined) return [];
    const text = given.optionalText("audit-key");
    const named = text === undefined ? undefined : fingerprintOf(text, "--audit-key");
    if (given.flag("changed")) return [await approveChange(opened, { id, fingerprint }, named, terminal)];
    const device = await approve(opened, id, fingerprint, operator(), named);
    // [ID-31] What was bound, which may be newer than the operator's list.
    terminal.err(boundLines(device).join("\n"));
    if (named === undefined && device.auditKey !== undefined)
      terminal.err(
        "Its audit key was not compared. If the device's console shows another one, run sallyport-hub devices revoke; --audit-key compares it.",
      );
    return [device];
  },
});

/** [ID-31] Accepts the request that it shows, and no later one. */
async function approveChange(
  opened: Opened,
  { id, fingerprint }: Pick<Device, "id" | "fingerprint">,
  named: Fingerprint | undefined,
  terminal: HubTerminal,
): Promise<Device> {
  const known = await opened.store.devices.find(id, fingerprint);
  const proposed = known && proposedRequest(known);
  if (known !== undefined && proposed !== undefined) terminal.err(changeLines(known, proposed));
  const isAsked = named === undefined && proposed !== undefined && proposed.auditKey !== known?.auditKey;
  const typed = isAsked ? await terminal.ask?.("Fingerprint of the new audit key, from the device's console: ") : undefined;
  await terminal.shown();
  const shown = known ?? { id, fingerprint, csr: new Uint8Array(), proposed: undefined };
  return adopt(opened, shown, operator(), typed === undefined ? named : fingerprintOf(typed, "the audit key"));
}

export const devicesDeny = decision({
  name: "devices deny",
  args: ["ID", "FINGERPRINT?"],
  help: "Denies a request; without FINGERPRINT, every pending request of this id.",
  consequence: "its next request is refused",
  act: (opened, id, fingerprint) => deny(opened, id, fingerprint, operator()),
});

export const devicesRevoke = decision({
  name: "devices revoke",
  args: ["ID"],
  help: "Revokes the approval and all certificates of a device permanently, and ends its connection.",
  consequence: "a running hub ends its connection within a second",
  act: async (opened, id) => [await revoke(opened, id, operator())],
});

export const devicesForget = decision({
  name: "devices forget",
  args: ["ID", "FINGERPRINT?"],
  help: "Removes a pending, denied or revoked request; without FINGERPRINT, all requests of this id that are not approved. A revoked key stays as long as one of its certificates is valid.",
  consequence: "forgotten; when it asks again with that key, it is pending like a new one",
  act: (opened, id, fingerprint) => forget(opened, id, fingerprint, operator()),
});

export const devicesEscrow: HubCommand = {
  name: "devices escrow",
  usage: "devices escrow ID [--at TIME] [--state DIR] [--json]",
  help: "Prints what a device has escrowed: the passwords of its TPM, sealed for the owner. Without --json it lists on standard error what is stored, and prints the newest, or the one that was made at TIME, on standard output: sallyport tpm passwords FILE opens it where the owner's private key is.",
  options: { ...OPTIONS, at: { type: "string" } },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, async ({ store }) => {
      const id = deviceIdOf(given);
      const at = given.optionalText("at");
      const stored = await store.escrows.ofDevice(id);
      const chosen = at === undefined ? stored : stored.filter(({ madeAtMs }) => iso(madeAtMs) === at);
      const [newest] = chosen;
      if (newest === undefined) throw new Fault("hub.device-unknown", nothingEscrowed(id, at, stored.length));
      if (given.flag("json")) {
        for (const escrow of chosen) terminal.out(printableJson({ deviceId: id, ...escrow }));
        return 0;
      }
      for (const escrow of stored) terminal.err(escrowLine(escrow, escrow === newest));
      terminal.out(newest.note.trimEnd());
      return 0;
    }),
};

function nothingEscrowed(id: DeviceId, at: string | undefined, count: number): string {
  if (count > 0) return `"${id}" has escrowed nothing that was made at ${at}; leave out --at to see what is stored`;
  return `"${id}" has escrowed nothing: it has no TPM of its own, no escrow key in its image, or has not connected since; "sallyport status" on the device says which`;
}

interface Decision {
  readonly name: string;
  readonly args: readonly string[];
  /** Options without a value. */
  readonly flags?: readonly string[];
  /** True: takes --audit-key, a fingerprint. */
  readonly auditKey?: boolean;
  readonly help: string;
  /** What follows from it, for the operator. */
  readonly consequence: string;
  readonly act: (
    opened: Opened,
    id: DeviceId,
    fingerprint: Fingerprint | undefined,
    given: Given,
    terminal: HubTerminal,
  ) => Promise<readonly Device[]>;
}

/** A command that decides about the device ID, perhaps with one key, and prints what changed. */
function decision({ name, args, flags = [], auditKey = false, help, consequence, act }: Decision): HubCommand {
  const typed = args.map((arg) => (arg.endsWith("?") ? `[${arg.slice(0, -1)}]` : arg)).join(" ");
  const options: ParseArgsOptionsConfig = Object.fromEntries(flags.map((flag) => [flag, { type: "boolean" }]));
  return {
    name,
    usage: `${name} ${typed}${flags.map((flag) => ` [--${flag}]`).join("")}${auditKey ? " [--audit-key FINGERPRINT]" : ""} [--state DIR] [--json]`,
    help,
    options: { ...OPTIONS, ...options, ...(auditKey ? { "audit-key": { type: "string" } } : {}) },
    args,
    run: async (given, terminal) =>
      withState(given, async (opened) => {
        const fingerprint = given.optionalArg("FINGERPRINT") ?? given.optionalArg("FINGERPRINT?");
        const key = fingerprint === undefined ? undefined : fingerprintOf(fingerprint, "FINGERPRINT");
        for (const device of await act(opened, deviceIdOf(given), key, given, terminal)) {
          const { id, state } = device;
          terminal.out(
            given.flag("json") ? JSON.stringify(asData(device)) : `${id} ${device.fingerprint} ${state}: ${consequence}`,
          );
        }
        return 0;
      }),
  };
}

/** A device as data, without the bytes of its requests. */
function asData({ csr: _csr, proposed, ...device }: Device): object {
  return { ...device, auditKeyFingerprint: auditKeyFingerprint(device.auditKey), changed: proposed !== undefined };
}
