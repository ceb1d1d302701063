// Rows that the status and the view of the identity share. Pure, ASCII. [CON-11]
import type { DeviceStatus } from "./format.ts";
import { row } from "./rows.ts";
import { serialText } from "./serial-text.ts";
import { distance, minute } from "./units.ts";

export const SOURCES = {
  commissioned: "given at commissioning",
  serial: "board serial",
  mac: "a MAC alone, which others may have",
  hash: "hash of the board serial or MAC",
} as const;

const ENROLMENTS = {
  "waiting-for-approval": "waiting for the operator to approve this id and key fingerprint",
  retrying: "trying again",
  denied: "DENIED by the hub",
} as const;

/** None for a device that is enrolled, or has not begun. */
export function enrolmentRows(enrolment: DeviceStatus["enrolment"]): string[] {
  if (enrolment === undefined || enrolment.state === "done") return [];
  const { state, lastFault } = enrolment;
  return [
    row("enrol", ENROLMENTS[state]),
    ...(lastFault === undefined ? [] : [row("", `${lastFault.code}: ${lastFault.message}`)]),
  ];
}

type CertificateView = Pick<DeviceStatus, "certificate" | "at"> & { readonly key?: unknown; readonly birth?: unknown };

/** A certificate is read with the key that it is for: without that key, none is known. */
export function certificateRows({ certificate, at, key, birth }: CertificateView): string[] {
  if (certificate === undefined)
    return [row("cert", key === undefined && birth !== undefined ? "not read, for want of the key" : "none yet")];
  const { state, notAfter, renewAt, serial, issuer } = certificate;
  const nowMs = Date.parse(at);
  const end = `${state === "expired" ? "EXPIRED" : "valid until"} ${minute(notAfter)} (${distance(Date.parse(notAfter), nowMs)})`;
  const renewal = state === "fresh" && renewAt !== undefined ? `renewed ${distance(Date.parse(renewAt), nowMs)}` : state;
  return [
    row("cert", end, state === "expired" ? undefined : renewal),
    row("", `serial ${serialText(serial, 40)}`, `issuer ${issuer}`),
  ];
}
