// The lockdown's events as audit records. [LCK-14]
import type { Fault } from "../../hal/fault.ts";
import { clip, printable } from "../../hal/format/text.ts";
import { limitRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { withSuppressed } from "../audit/index.ts";
import type { JudgedUsbDevice } from "./devices.ts";
import { type Plan, planHash } from "./format/index.ts";
import {
  EXTERNAL_RECORDS_BURST_MAX,
  EXTERNAL_RECORDS_PERIOD_MS,
  MEDDLING_RECORDS_BURST_MAX,
  MEDDLING_RECORDS_PERIOD_MS,
  NOT_KNOWN_SETTLED_MS,
} from "./limits.ts";
import type { LockdownReport } from "./machine.ts";
import type { UsbArrival } from "./usb-arrivals.ts";
import { isTableAmong } from "./apply.ts";
import { mayTryAgain } from "./record.ts";

/** Length of each text in a detail: a record may hold several texts. */
const DETAIL_CHARACTERS_MAX = 480;

export interface TrailPorts {
  readonly clock: Clock;
  readonly record: (entry: AuditEntry) => void;
}

export interface Trail {
  audit(this: void, report: LockdownReport, inForce: Plan | undefined): void;
  /**
   * [LCK-14] Records each device once when it is plugged in, and again when its verdict changes.
   */
  devices(devices: readonly JudgedUsbDevice[]): void;
  /**
   * [LCK-71] Records each device that the kernel named and that was gone before it was judged.
   * @param unseen how many more came faster than they are listed.
   */
  missed(devices: readonly UsbArrival[], unseen: number): void;
  /** [LCK-40] Records what could not be told when it stays so, and its end. */
  notKnown(sentences: readonly string[]): void;
  /** Records a signed policy that is not even tried; the same policy with the same reason once. */
  refused(policy: { readonly target: string; readonly counter: number; readonly digest: string }, fault: Fault): void;
}

/** @param unenforced what this machine cannot enforce, as texts for people. */
export function createTrail({ clock, record }: TrailPorts, unenforced: readonly string[]): Trail {
  const recorded = new Map<string, boolean>();
  const last = { refused: "", shut: "" };

  /** Records what others can cause at will, at a pace that nothing else uses up. [AUD-12] */
  const paced = (burstMax = EXTERNAL_RECORDS_BURST_MAX, periodMs = EXTERNAL_RECORDS_PERIOD_MS): ((entry: AuditEntry) => void) =>
    limitRate(createTokenBucket(clock, burstMax, periodMs), (entry: AuditEntry, suppressed) =>
      record(withSuppressed(entry, suppressed)),
    );
  const restored = paced();
  // [LCK-69] a fight over the table may go on for days: its number is in the status
  const meddled = paced(MEDDLING_RECORDS_BURST_MAX, MEDDLING_RECORDS_PERIOD_MS);
  const usbRefused = paced();
  const usbMissed = paced();
  // what was let in must be in the trail, whatever else is plugged in
  const usbAllowed = paced();
  // a network changes the facts, and the table with them, as often as it likes
  const enforced = paced();
  const shut = paced();
  const switchFired = paced();
  const policyRefused = paced();
  const notKnown = paced();
  const unknown = { seen: "", sinceMs: 0, recorded: "" };

  return {
    audit: (report, inForce) => {
      if (report.kind === "shut" && report.code === last.shut) return; // tried again every minute
      last.shut = report.kind === "shut" ? report.code : "";
      if (report.kind === "restored")
        return (isTableAmong(report.what) ? meddled : restored)({
          event: "lockdown.restored",
          result: "ok",
          detail: {
            what: clip(report.what.join("; "), DETAIL_CHARACTERS_MAX),
            ...(report.by === undefined ? {} : { by: clip(report.by, DETAIL_CHARACTERS_MAX) }),
          },
        });
      const write = {
        enforced,
        shut,
        "switch-fired": switchFired,
        pending: record,
        confirmed: record,
        reverted: record,
      }[report.kind];
      write(entryOf(report, inForce, unenforced));
    },
    devices: (devices) => {
      const present = new Set(devices.map(({ key }) => key));
      for (const key of recorded.keys()) if (!present.has(key)) recorded.delete(key);
      for (const device of devices) {
        if (recorded.get(device.key) === device.authorized) continue;
        recorded.set(device.key, device.authorized);
        (device.authorized ? usbAllowed : usbRefused)(usbEntry(device));
      }
    },
    missed: (devices, unseen) => {
      for (const device of devices) usbMissed(missedEntry(device));
      if (unseen > 0)
        usbMissed({ event: "usb.missed", result: "refused", detail: { count: unseen, why: "too many came at once" } });
    },
    notKnown: (sentences) => {
      const what = clip(sentences.join("; "), DETAIL_CHARACTERS_MAX);
      if (what !== unknown.seen) Object.assign(unknown, { seen: what, sinceMs: clock.monotonicMs() });
      if (what === unknown.recorded || clock.monotonicMs() - unknown.sinceMs < NOT_KNOWN_SETTLED_MS) return;
      unknown.recorded = what;
      notKnown(
        what === "" ? { event: "lockdown.known", result: "ok" } : { event: "lockdown.unknown", result: "ok", detail: { what } },
      );
    },
    refused: ({ target, counter, digest }, { code, message }) => {
      if (last.refused === `${digest} ${code}`) return;
      last.refused = `${digest} ${code}`;
      policyRefused({
        event: "policy.refused",
        result: "refused",
        detail: { target: clip(target, DETAIL_CHARACTERS_MAX), counter, code, why: clip(message, DETAIL_CHARACTERS_MAX) },
      });
    },
  };
}

function entryOf(
  report: Exclude<LockdownReport, { readonly kind: "restored" }>,
  inForce: Plan | undefined,
  unenforced: readonly string[],
): AuditEntry {
  switch (report.kind) {
    case "enforced":
      return {
        event: "lockdown.enforced",
        result: "ok",
        detail: {
          ...(report.counter === undefined ? { policy: "base" } : { policy: "confirmed", counter: report.counter }),
          ...(inForce === undefined ? {} : { mode: inForce.mode, planHash: planHash(inForce) }),
          ...(unenforced.length === 0 ? {} : { unenforced: clip(unenforced.join("; "), DETAIL_CHARACTERS_MAX) }),
        },
      };
    case "pending": {
      const { counter, planHash: hash, confirmWithinS } = report;
      return { event: "lockdown.pending", result: "ok", detail: { counter, planHash: hash, confirmWithinS } };
    }
    case "confirmed": {
      const { counter, planHash: hash, keyid } = report;
      return {
        event: "lockdown.confirmed",
        result: "ok",
        principal: "confirm-key",
        detail: { counter, planHash: hash, keyid },
      };
    }
    case "reverted": {
      const { counter, planHash: hash, reason } = report;
      const again = mayTryAgain(report) ? { again: true } : {};
      return { event: "lockdown.reverted", result: "ok", detail: { counter, planHash: hash, reason, ...again } };
    }
    case "switch-fired":
      return { event: "lockdown.switch-fired", result: "ok" };
    case "shut":
      return { event: "lockdown.shut", result: "failed", detail: { code: report.code } };
  }
}

/** It worked at no time: a device works only once it was judged. [LCK-7] */
function missedEntry({ port, number, id }: UsbArrival): AuditEntry {
  return {
    event: "usb.missed",
    result: "refused",
    detail: {
      port,
      ...(number === undefined ? {} : { number }),
      ...(id === undefined ? {} : { device: id }),
      why: "it was gone before it could be judged",
    },
  };
}

function usbEntry({ port, authorized, why, claims }: JudgedUsbDevice): AuditEntry {
  return {
    event: authorized ? "usb.allowed" : "usb.refused",
    result: authorized ? "ok" : "refused",
    detail: {
      port,
      ...(claims === undefined
        ? {}
        : {
            device: `${claims.vendor}:${claims.product}`,
            ...(claims.serial === undefined ? {} : { serial: printable(claims.serial, DETAIL_CHARACTERS_MAX) }),
            interfaces: clip(claims.interfaces.join(" "), DETAIL_CHARACTERS_MAX),
          }),
      why: clip(why, DETAIL_CHARACTERS_MAX),
    },
  };
}
