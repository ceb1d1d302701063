// `sallyport-hub devices ...`: an operator's decisions about devices. [ID-7]
import type { ParseArgsOptionsConfig } from "node:util";
import { Fault } from "../../hal/fault.ts";
import { boardText, type DeviceId, type Fingerprint, protectionSchema } from "../../hal/format/identity.ts";
import { printableJson, quoted } from "../../hal/format/text.ts";
import {
  admitBoard,
  adopt,
  allowRekey,
  approve,
  areTwoBoards,
  auditKeyFingerprint,
  boardOf,
  deny,
  expectNamed,
  forget,
  isLetIn,
  isMacAlone,
  isWeakerClaim,
  otherBoard,
  OWN_ID,
  proposedRequest,
  protectionName,
  replace,
  requestDigest,
  revoke,
} from "../devices/index.ts";
import { REKEY_HOLD_MS_DEFAULT, REKEY_HOLD_MS_MAX, REKEY_HOLD_MS_MIN, SAME_KEY_MAX } from "../limits.ts";
import type { Device } from "../store/index.ts";
import { type Given, type HubCommand, type HubTerminal, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { boundLines, changeLines, deviceLines, escrowLine, iso, mayReplace, printed } from "./render.ts";
import { deviceIdOf, digestOf, fingerprintOf, type Opened, operator, typed, withState } from "./state.ts";

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
      const inForce = new Map(devices.filter(isInForce).map((device) => [device.id, device]));
      const idsOf = Map.groupBy(devices, ({ fingerprint }) => fingerprint);
      const listed = await Promise.all(
        devices.map(async (device) => ({
          device,
          connection: isInForce(device) ? await store.connections.find(device.id) : undefined,
          inForce: isInForce(device) ? undefined : inForce.get(device.id),
          rival: inForce.has(device.id) ? undefined : rivalOf(device, devices),
          ofKey: (idsOf.get(device.fingerprint) ?? [])
            .map(({ id }) => id)
            .filter((id) => id !== device.id)
            .slice(0, SAME_KEY_MAX),
        })),
      );
      if (given.flag("json"))
        for (const each of listed)
          terminal.out(
            printableJson({
              ...asData(each.device, each.inForce),
              connection: each.connection,
              replaces: replacedData(each.device, each.inForce),
              ...(isMacAlone(each.device) ? { idFrom: "mac" } : {}),
              ...(each.ofKey.length > 0 ? { sameKeyAs: each.ofKey } : {}),
            }),
          );
      else if (listed.length === 0) terminal.out("no device has asked yet");
      else terminal.out(listed.map((each) => deviceLines(each.device, each.connection, each.inForce, each)).join("\n\n"));
      return 0;
    }),
};

export const devicesApprove = decision({
  name: "devices approve",
  args: ["ID", "FINGERPRINT"],
  flags: ["changed", "weaker"],
  named: true,
  help: "Approves this id with this key. First compare both, and the audit key, with what the device shows on its console; --audit-key refuses another one, and --request refuses another request than devices list showed. --changed shows what an approved device has changed, old and new, and accepts it; a new audit key must be named with --audit-key, or typed at the prompt, and a protection that is weaker than the id had needs --weaker.",
  consequence: "it gets its certificate the next time it asks",
  act: async (opened, id, fingerprint, given, terminal) => {
    if (fingerprint === undefined) return [];
    const named = namedIn(given);
    if (given.flag("changed")) return [await approveChange(opened, { id, fingerprint }, given, terminal)];
    const device = await approve(opened, id, fingerprint, operator(), { ...named, weaker: given.flag("weaker") });
    // [ID-31] What was bound, which may be newer than the operator's list.
    terminal.err(boundLines(device).join("\n"));
    const rival = rivalOf(device, await opened.store.devices.ofId(id));
    if (rival !== undefined)
      terminal.err(
        printed(`Another board asks with this id (${boardText(boardOf(rival))}), and gets no certificate: ${OWN_ID}.`),
      );
    remindOfAuditKey(device, named.auditKey, terminal);
    return [device];
  },
});

/** [ID-95] Another board that waits with the same id. */
function rivalOf(device: Device, devices: readonly Device[]): Device | undefined {
  if (device.state !== "pending" && device.state !== "approved") return undefined;
  return devices.find(({ id, fingerprint, ...each }) => {
    const isOther = id === device.id && fingerprint !== device.fingerprint && each.state === "pending";
    return isOther && areTwoBoards(device, { id, ...each });
  });
}

function remindOfAuditKey(device: Device, named: Fingerprint | undefined, terminal: HubTerminal): void {
  if (named === undefined && device.auditKey !== undefined)
    terminal.err(
      "Its audit key was not compared. If the device's console shows another one, run sallyport-hub devices revoke; --audit-key compares it.",
    );
}

/** [ID-26] [ID-31] What the operator has compared, besides id and key. */
function namedIn(given: Given): { readonly auditKey: Fingerprint | undefined; readonly request: string | undefined } {
  const [auditKey, request] = [given.optionalText("audit-key"), given.optionalText("request")];
  return {
    auditKey: auditKey === undefined ? undefined : fingerprintOf(auditKey, "--audit-key"),
    request: request === undefined ? undefined : digestOf(request, "--request"),
  };
}

/** [ID-31] Accepts the request that it shows, and no later one. */
async function approveChange(
  opened: Opened,
  { id, fingerprint }: Pick<Device, "id" | "fingerprint">,
  given: Given,
  terminal: HubTerminal,
): Promise<Device> {
  const named = namedIn(given);
  const known = await opened.store.devices.find(id, fingerprint);
  const proposed = known && proposedRequest(known);
  if (known !== undefined && proposed !== undefined) terminal.err(changeLines(known, proposed));
  if (proposed !== undefined)
    expectNamed({ id, fingerprint, ...proposed }, undefined, { request: named.request }, `approve "${id}"`);
  const isAsked = named.auditKey === undefined && proposed !== undefined && proposed.auditKey !== known?.auditKey;
  const answer = isAsked ? await terminal.ask?.("Fingerprint of the new audit key, from the device's console: ") : undefined;
  await terminal.shown();
  const shown = known ?? { id, fingerprint, csr: new Uint8Array(), proposed: undefined };
  return adopt(
    opened,
    shown,
    operator(),
    answer === undefined ? named.auditKey : fingerprintOf(answer, "the audit key"),
    given.flag("weaker"),
  );
}

/** [ID-62] */
export const devicesReplace = decision({
  name: "devices replace",
  args: ["ID", "FINGERPRINT"],
  flags: ["weaker", "now"],
  named: true,
  help: "Puts this key in the place of the one that is in force for this id, which is revoked with its certificates: after a board was replaced, or when a device has made another key. First compare as for devices approve. A key that is kept less safe needs --weaker. Where the device has asked with both keys, the old one stays until the first connection with the new one, unless --now is given.",
  consequence: "it gets its certificate the next time it asks",
  act: async (opened, id, fingerprint, given, terminal) => {
    if (fingerprint === undefined) return [];
    const named = namedIn(given);
    const inForce = await opened.store.devices.approved(id);
    const options = { ...named, weaker: given.flag("weaker"), now: given.flag("now"), inForce: inForce?.fingerprint };
    const { device, replaced, overlaps } = await replace(opened, id, fingerprint, operator(), options);
    const old = `${protectionName(replaced.protection)} key ${replaced.fingerprint}`;
    terminal.err(
      overlaps
        ? `The ${old} stays until the first connection with the new key; --now ends it at once.`
        : `The ${old} was revoked with its certificates; a running hub ends its connection within a second.`,
    );
    terminal.err(boundLines(device).join("\n"));
    remindOfAuditKey(device, named.auditKey, terminal);
    return [device];
  },
});

/** [ID-63] */
export const devicesRekey: HubCommand = {
  name: "devices rekey",
  usage: "devices rekey ID [--to tpm|sealed] [--hold 24h] [--cancel] [--state DIR] [--json]",
  help: "Permits one other key for this id: the next that the device asks for with the key in force, as safe as that one at least, and as --to says. It is approved without a further decision, and the old key ends at the first connection with it. --hold says how long the permission waits (1 m to 30 d; 24 h by default); --cancel takes it back.",
  options: { ...OPTIONS, to: { type: "string" }, hold: { type: "string" }, cancel: { type: "boolean" } },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, async (opened) => {
      const id = deviceIdOf(given);
      const to = given.optionalText("to");
      const holdMs = given.duration("hold") ?? REKEY_HOLD_MS_DEFAULT;
      if (holdMs < REKEY_HOLD_MS_MIN || holdMs > REKEY_HOLD_MS_MAX)
        throw new Fault("usage.invalid", "--hold must be between 1m and 30d");
      const permission = { to: to === undefined ? undefined : typed(protectionSchema, to, "--to"), holdMs };
      const device = await allowRekey(opened, id, given.flag("cancel") ? undefined : permission, operator());
      const { rekey } = device;
      const said =
        rekey === undefined
          ? "no other key is permitted"
          : `one other key is permitted until ${iso(rekey.untilMs)}, kept in ${rekey.to ?? protectionName(device.protection)} at least`;
      terminal.out(given.flag("json") ? printableJson(asData(device)) : `${id} ${device.fingerprint}: ${said}`);
      return 0;
    }),
};

/** [ID-97] */
export const devicesBoard: HubCommand = {
  name: "devices board",
  usage: "devices board ID [--admit] [--state DIR] [--json]",
  help: "Shows the board on which a device's disk was found, beside the board of its birth. --admit lets that very board use the id from its next attempt on: after the disk was moved on purpose, and when the first board is out of use.",
  options: { ...OPTIONS, admit: { type: "boolean" } },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, async (opened) => {
      const id = deviceIdOf(given);
      const admit = given.flag("admit");
      const told = admit ? await admitBoard(opened, id, operator()) : await otherBoard(opened, id);
      const { born, found, address, seenAtMs, admitted } = told;
      const data = { id, born, found, address, seenAt: iso(seenAtMs), admitted: admit ? found : admitted };
      const verdict = admit
        ? "let in: it connects with its next attempt"
        : isLetIn(admitted, found)
          ? "this board was let in"
          : `waits; if the disk was moved on purpose: sallyport-hub devices board ${id} --admit`;
      terminal.out(
        given.flag("json")
          ? printableJson(data)
          : printed(
              [
                id,
                `  born on  ${boardText(born)}`,
                `  found on ${boardText(found)}`,
                `  told     ${iso(seenAtMs)} from ${address}`,
              ].join("\n"),
            ).concat(`\n  ${verdict}`),
      );
      return 0;
    }),
};

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
      if (at !== undefined && Number.isNaN(Date.parse(at)))
        throw new Fault(
          "usage.invalid",
          `--at ${quoted(at)}: expected a time as the list shows it, such as 2026-11-30T12:00:00.000Z`,
        );
      const stored = await store.escrows.ofDevice(id);
      const chosen = at === undefined ? stored : stored.filter(({ madeAtMs }) => madeAtMs === Date.parse(at));
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
  /** True: takes --audit-key, a fingerprint, and --request, a digest. */
  readonly named?: boolean;
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
function decision({ name, args, flags = [], named = false, help, consequence, act }: Decision): HubCommand {
  const words = args.map((arg) => (arg.endsWith("?") ? `[${arg.slice(0, -1)}]` : arg)).join(" ");
  const options: ParseArgsOptionsConfig = Object.fromEntries(flags.map((flag) => [flag, { type: "boolean" }]));
  return {
    name,
    usage: `${name} ${words}${flags.map((flag) => ` [--${flag}]`).join("")}${named ? " [--audit-key FINGERPRINT] [--request DIGEST]" : ""} [--state DIR] [--json]`,
    help,
    options: { ...OPTIONS, ...options, ...(named ? { "audit-key": { type: "string" }, request: { type: "string" } } : {}) },
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
function asData(device: Device, inForce?: Device): object {
  const { csr: _csr, proposed, ...data } = device;
  const changed = proposedRequest(device);
  return {
    ...data,
    protection: protectionName(device.protection),
    auditKeyFingerprint: auditKeyFingerprint(device.auditKey),
    request: requestDigest(device, inForce?.fingerprint),
    changed: proposed !== undefined,
    changedRequest: changed && requestDigest({ ...device, ...changed }, undefined),
  };
}

/** [ID-62] What a key would replace, or replaces. */
function replacedData(device: Device, inForce: Device | undefined): object | undefined {
  if (inForce === undefined || !mayReplace(device)) return undefined;
  const { protection, provenBy } = device;
  return {
    fingerprint: inForce.fingerprint,
    protection: protectionName(inForce.protection),
    weaker: isWeakerClaim(protection, inForce.protection),
    proven: provenBy === inForce.fingerprint,
    twoBoards: areTwoBoards(device, inForce),
  };
}

function isInForce({ state, overlapUntilMs }: Device): boolean {
  return state === "approved" && overlapUntilMs === undefined;
}
