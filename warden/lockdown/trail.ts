// What lockdown did and saw, as audit records. [LCK-14]
import type { Fault } from "../../hal/fault.ts";
import { limitRate, createTokenBucket } from "../../hal/rate-limit.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import { withSuppressed } from "../audit/rate-limited-recorder.ts";
import type { JudgedUsbDevice } from "./devices.ts";
import { type Plan, planHash } from "./format/index.ts";
import { WORLD_RECORDS_BURST_MAX, WORLD_RECORDS_PERIOD_MS } from "./limits.ts";
import type { LockdownReport } from "./machine.ts";

export interface TrailPorts {
  readonly clock: Clock;
  readonly note: (entry: AuditEntry) => void;
}

export interface Trail {
  tell(this: void, news: LockdownReport, inForce: Plan | undefined): void;
  /** [LCK-14] Each that is plugged in once, and again when its fate changes. */
  devices(devices: readonly JudgedUsbDevice[]): void;
  /** A signed policy that is not even tried; the same for the same reason once. */
  refused(policy: { readonly target: string; readonly counter: number; readonly digest: string }, fault: Fault): void;
}

/** @param unenforced what this machine can't enforce, in words. */
export function createTrail({ clock, note }: TrailPorts, unenforced: readonly string[]): Trail {
  const told = new Map<string, boolean>();
  const held = { refused: "", shut: "" };

  /** Of what others can make happen at will. */
  const world = limitRate(
    createTokenBucket(clock, WORLD_RECORDS_BURST_MAX, WORLD_RECORDS_PERIOD_MS),
    (entry: AuditEntry, suppressed) => note(withSuppressed(entry, suppressed)),
  );

  return {
    tell: (news, inForce) => {
      if (news.kind === "shut" && news.code === held.shut) return; // tried again every minute
      held.shut = news.kind === "shut" ? news.code : "";
      if (news.kind === "restored")
        return world({ event: "lockdown.restored", result: "ok", detail: { what: short(news.what.join("; ")) } });
      note(entryOf(news, inForce, unenforced));
    },
    devices: (devices) => {
      const present = new Set(devices.map(({ key }) => key));
      for (const key of told.keys()) if (!present.has(key)) told.delete(key);
      for (const device of devices) {
        if (told.get(device.key) === device.authorized) continue;
        told.set(device.key, device.authorized);
        world(usbEntry(device));
      }
    },
    refused: ({ target, counter, digest }, { code, message }) => {
      if (held.refused === `${digest} ${code}`) return;
      held.refused = `${digest} ${code}`;
      note({ event: "policy.refused", result: "refused", detail: { target: short(target), counter, code, why: short(message) } });
    },
  };
}

function entryOf(
  news: Exclude<LockdownReport, { readonly kind: "restored" }>,
  inForce: Plan | undefined,
  unenforced: readonly string[],
): AuditEntry {
  switch (news.kind) {
    case "enforced":
      return {
        event: "lockdown.enforced",
        result: "ok",
        detail: {
          ...(news.counter === undefined ? { policy: "base" } : { policy: "confirmed", counter: news.counter }),
          ...(inForce === undefined ? {} : { mode: inForce.mode, planHash: planHash(inForce) }),
          ...(unenforced.length === 0 ? {} : { unenforced: short(unenforced.join("; ")) }),
        },
      };
    case "pending": {
      const { counter, planHash: hash, confirmWithinS } = news;
      return { event: "lockdown.pending", result: "ok", detail: { counter, planHash: hash, confirmWithinS } };
    }
    case "confirmed": {
      const { counter, planHash: hash, keyid } = news;
      return {
        event: "lockdown.confirmed",
        result: "ok",
        principal: "confirm-key",
        detail: { counter, planHash: hash, keyid },
      };
    }
    case "reverted": {
      const { counter, planHash: hash, reason } = news;
      return { event: "lockdown.reverted", result: "ok", detail: { counter, planHash: hash, reason } };
    }
    case "shut":
      return { event: "lockdown.shut", result: "failed", detail: { code: news.code } };
  }
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
            ...(claims.serial === undefined ? {} : { serial: short(printable(claims.serial)) }),
            interfaces: short(claims.interfaces.join(" ")),
          }),
      why: short(why),
    },
  };
}

/** Fits a record, with the others. */
function short(text: string): string {
  return text.slice(0, 480);
}

function printable(text: string): string {
  return text.replaceAll(/[^\u0020-\u007e]/gu, "?");
}
