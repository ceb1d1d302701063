// `sallyport-hub release publish`, `update start`, `update status`: the offer of releases to
// devices. The hub only points at a release; the signatures on it decide. [OTA-20] [OTA-42]
import { join } from "node:path";
import { printableJson } from "../../hal/format/text.ts";
import { OPERATIONS } from "../../agent/operations/format.ts";
import { updateReportSchema } from "../../agent/tunnel/format.ts";
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { counted, wrap } from "../../hal/format/prose.ts";
import { check, tryCheck } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { lockDirectory } from "../../hal/linux/files/index.ts";
import { targetNameSchema } from "../../ota/trust/format/index.ts";
import { HINT_LIFE_MS, MESSAGE_BODY_BYTES_MAX } from "../limits.ts";
import { queueHint } from "../outbox/index.ts";
import { type PublishedRepository, publishRepository } from "../repository/index.ts";
import { REPOSITORY_DIRECTORY } from "../state/index.ts";
import type { Store } from "../store/index.ts";
import { type Given, type HubCommand, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { iso, printed } from "./render.ts";
import { deviceIdOf, operator, stateOf, typed, withState } from "./state.ts";
import { askDevice, jsonLines, printAnswer, WAIT_OPTION, waitMsOf } from "./poll.ts";

/** [STA-41] One publication at a time, beside the hub that runs. */
const PUBLISHING = ".publishing";
const PUBLISHING_WAIT_MS = 60_000;
const OPTIONS = { ...STATE_OPTION, ...JSON_OPTION } as const;

export const releasePublish: HubCommand = {
  name: "release publish",
  usage: "release publish DIR [--without-drafts] [--state DIR] [--json]",
  help: "Publishes the repository that sallyport-release signed in DIR (its keys are not read) below /repository/ on the EST port, after checking it as a device would, and notifies every approved device. Drafts in DIR are a reason to refuse, unless --without-drafts leaves them behind.",
  options: { ...OPTIONS, "without-drafts": { type: "boolean" } },
  args: ["DIR"],
  run: async (given, terminal) =>
    withState(given, async ({ store }) => {
      const published = await publishAlone(given);
      const { directory, copied, timestamp } = published;
      const notified = await store.devices.approvedIds();
      await store.commit(
        store.journal.entry("repository.published", undefined, { timestamp, copied, by: operator() }, Date.now()),
      );
      const hint = { channel: "policy", body: { kind: "repository.changed" } } as const;
      await Promise.all(notified.map((id) => queueHint(store, id, hint, HINT_LIFE_MS)));
      for (const warning of published.warnings)
        terminal.err(`warning: ${warning}; devices take nothing new of that role until it is renewed`);
      if (given.flag("json")) terminal.out(printableJson({ ...published, told: notified }));
      else
        terminal.out(
          wrap(
            `published to ${directory}: ${counted(copied, "file")} copied, timestamp version ${timestamp}; ${counted(notified.length, "device")} will be notified`,
          ),
        );
      return 0;
    }),
};

async function publishAlone(given: Given): Promise<PublishedRepository> {
  const state = stateOf(given);
  const lock = lockDirectory(state, PUBLISHING, PUBLISHING_WAIT_MS);
  try {
    return await publishRepository(given.arg("DIR"), join(state, REPOSITORY_DIRECTORY), {
      nowMs: Date.now(),
      withoutDrafts: given.flag("without-drafts"),
    });
  } finally {
    lock.release();
  }
}

export const updateStart: HubCommand = {
  name: "update start",
  usage: "update start ID TARGET [--hold 24h] [--state DIR] [--json]",
  help: "Points a device at a release, such as os/gateway-2.json. The device installs it if it is signed for this device; update status shows the progress. A device that is not connected gets the hint when it connects within --hold.",
  options: { ...OPTIONS, hold: { type: "string" } },
  args: ["ID", "TARGET"],
  run: async (given, terminal) =>
    withState(given, async ({ store }) => {
      const deviceId = deviceIdOf(given);
      const target = typed(targetNameSchema, given.arg("TARGET"), "TARGET");
      if (!target.startsWith("os/"))
        throw new Fault(
          "usage.invalid",
          `TARGET "${target}": expected a release, os/NAME; devices adopt policies and rosters by themselves`,
        );
      const { id, expiresAtMs } = await queueHint(
        store,
        deviceId,
        { channel: "update", body: { kind: "update.start", target } },
        given.duration("hold") ?? HINT_LIFE_MS,
        store.journal.entry("update.requested", deviceId, { target, by: operator() }, Date.now()),
      );
      const connected = (await store.connections.find(deviceId)) !== undefined;
      if (given.flag("json")) terminal.out(printableJson({ deviceId, id, target, connected, expiresAt: iso(expiresAtMs) }));
      else
        terminal.out(
          wrap(
            `pointing ${deviceId} at ${target}${connected ? "" : ` when it connects, until ${iso(expiresAtMs)}`}\nnext: sallyport-hub update status ${deviceId}`,
          ),
        );
      return 0;
    }),
};

export const updateStatus: HubCommand = {
  name: "update status",
  usage: "update status ID [--ask] [--wait 30s] [--state DIR] [--json]",
  help: "Shows the state of an update as the device last reported it; --ask asks the device now.",
  options: { ...OPTIONS, ...WAIT_OPTION, ask: { type: "boolean" } },
  args: ["ID"],
  run: async (given, terminal) =>
    withState(given, async (opened) => {
      const deviceId = deviceIdOf(given);
      const reported = given.flag("ask") ? undefined : await lastReport(opened.store, deviceId);
      if (!given.flag("ask")) {
        if (reported === undefined && (await opened.store.devices.approved(deviceId)) === undefined)
          throw new Fault(
            "hub.device-unknown",
            `update status "${deviceId}": none of its keys is approved; run sallyport-hub devices list to see the known devices`,
          );
        if (given.flag("json")) terminal.out(printableJson({ deviceId, ...reported }));
        else
          terminal.out(
            reported === undefined
              ? `${deviceId} has reported no update yet`
              : `${deviceId} said at ${printed(reported.at)}:\n${jsonLines(reported.update)}`,
          );
        return 0;
      }
      const answered = await askDevice(opened, terminal, deviceId, "update.status", {}, waitMsOf(given));
      if (answered.state !== "answered") return printAnswer(given, terminal, opened, answered);
      const update = check(OPERATIONS["update.status"].result, answered.result, `update status of "${deviceId}"`);
      terminal.out(
        given.flag("json")
          ? printableJson({ deviceId, at: iso(Date.now()), update })
          : `${deviceId} says now:\n${jsonLines(update)}`,
      );
      return 0;
    }),
};

async function lastReport(store: Store, deviceId: DeviceId) {
  const [message] = await store.messages.last(deviceId, "update", 1);
  if (message?.body === undefined) return undefined;
  const report = tryCheck(updateReportSchema, parseJson(message.body, MESSAGE_BODY_BYTES_MAX, "update report"));
  return report !== undefined ? { at: message.at, update: report.update } : undefined;
}
