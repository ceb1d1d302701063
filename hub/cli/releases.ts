// `sallyport-hub release publish`, `update start`, `update status`: what devices are offered. The hub points; what counts is who signed it. [OTA-14] [OTA-42]
import { join } from "node:path";
import { printableJson } from "../../hal/format/text.ts";
import * as v from "valibot";
import { OPERATIONS } from "../../agent/operations/format.ts";
import { updateReportSchema } from "../../agent/tunnel/format.ts";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { targetNameSchema } from "../../ota/trust/format/index.ts";
import { HINT_LIFE_MS, MESSAGE_BODY_BYTES_KEPT } from "../limits.ts";
import { queueHint } from "../outbox/index.ts";
import { publishRepository } from "../repository/index.ts";
import { REPOSITORY_DIRECTORY } from "../state/files.ts";
import type { Store } from "../store/index.ts";
import { type HubCommand, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { iso, printable } from "./render.ts";
import { deviceIdOf, operator, stateOf, typed, withState } from "./state.ts";
import { askDevice, lines, tellAnswer, WAIT_OPTION, waitMsOf } from "./poll.ts";

const OPTIONS = { ...STATE_OPTION, ...JSON_OPTION } as const;

export const releasePublish: HubCommand = {
  name: "release publish",
  usage: "release publish DIR [--state DIR] [--json]",
  help: "Takes over what sallyport-release signed in DIR (its keys are not read), serves it below /repository/ on the EST port, and tells every approved device that something is new.",
  options: OPTIONS,
  args: ["DIR"],
  run: async (given, terminal) =>
    withState(given, async ({ store, journal }) => {
      const published = await publishRepository(given.arg("DIR"), join(stateOf(given), REPOSITORY_DIRECTORY));
      const { directory, copied, timestamp } = published;
      const told = store.devices.approvedIds();
      store.transaction(() => {
        journal("repository.published", undefined, { timestamp, copied, by: operator() });
        for (const id of told) queueHint(store, id, { channel: "policy", body: { kind: "repository.changed" } }, HINT_LIFE_MS);
      });
      if (given.flag("json")) terminal.out(printableJson({ ...published, told }));
      else
        terminal.out(
          `published to ${directory}: ${copied} files copied, timestamp version ${timestamp}; ${told.length} devices are told`,
        );
      return 0;
    }),
};

export const updateStart: HubCommand = {
  name: "update start",
  usage: "update start ID TARGET [--hold 24h] [--state DIR] [--json]",
  help: "Points a device at a release, such as os/gateway-2.json. The device takes it if it is signed for it; update status shows how far it is. A device that is away is told when it is back, within --hold.",
  options: { ...OPTIONS, hold: { type: "string" } },
  args: ["ID", "TARGET"],
  run: async (given, terminal) =>
    withState(given, ({ store, journal }) => {
      const deviceId = deviceIdOf(given);
      const target = typed(targetNameSchema, given.arg("TARGET"), "TARGET");
      if (!target.startsWith("os/"))
        throw new Fault(
          "usage.invalid",
          `TARGET "${target}": expected a release, os/NAME; devices take up policies and rosters by themselves`,
        );
      const { id, expiresAtMs } = store.transaction(() => {
        journal("update.requested", deviceId, { target, by: operator() });
        return queueHint(
          store,
          deviceId,
          { channel: "update", body: { kind: "update.start", target } },
          given.duration("hold") ?? HINT_LIFE_MS,
        );
      });
      const connected = store.connections.find(deviceId) !== undefined;
      if (given.flag("json")) terminal.out(printableJson({ deviceId, id, target, connected, expiresAt: iso(expiresAtMs) }));
      else
        terminal.out(
          `${deviceId} is told to look at ${target}${connected ? "" : ` when it connects, until ${iso(expiresAtMs)}`}; next: update status ${deviceId}`,
        );
      return 0;
    }),
};

export const updateStatus: HubCommand = {
  name: "update status",
  usage: "update status ID [--ask] [--wait 30s] [--state DIR] [--json]",
  help: "Where an update is, as the device reported it last; --ask asks it now.",
  options: { ...OPTIONS, ...WAIT_OPTION, ask: { type: "boolean" } },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, async (opened) => {
      const deviceId = deviceIdOf(given);
      const reported = given.flag("ask") ? undefined : lastReport(opened.store, deviceId);
      if (!given.flag("ask")) {
        if (reported === undefined && opened.store.devices.approved(deviceId) === undefined)
          throw new Fault(
            "hub.device-unknown",
            `update status "${deviceId}": no key of it is approved; devices list shows what is known`,
          );
        if (given.flag("json")) terminal.out(printableJson({ deviceId, ...reported }));
        else
          terminal.out(
            reported === undefined
              ? `${deviceId} has reported no update yet`
              : `${deviceId} said at ${printable(reported.at)}:\n${lines(reported.update)}`,
          );
        return 0;
      }
      const answered = await askDevice(opened, terminal, deviceId, "update.status", {}, waitMsOf(given));
      if (answered.state !== "answered") return tellAnswer(given, terminal, opened, answered);
      const update = check(OPERATIONS["update.status"].result, answered.result, `update status of "${deviceId}"`);
      terminal.out(
        given.flag("json") ? printableJson({ deviceId, at: iso(Date.now()), update }) : `${deviceId} says now:\n${lines(update)}`,
      );
      return 0;
    }),
};

function lastReport(store: Store, deviceId: DeviceId) {
  const [message] = store.messages.last(deviceId, "update", 1);
  if (message?.body === undefined) return undefined;
  const report = v.safeParse(updateReportSchema, parseJson(message.body, MESSAGE_BODY_BYTES_KEPT, "update report"));
  return report.success ? { at: message.at, update: report.output.update } : undefined;
}
