// The check of a server's certificate by our own code, where OpenSSL cannot make it: with the dates
// waived [ID-11], and among pins of one name [ID-87].
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { Fault } from "../../hal/fault.ts";
import { haveOneName, isIssuedBy, readPins } from "../../hal/format/pins.ts";
import { wayToPin } from "../chain.ts";
import { isFor, maySign, SERVER_AUTH } from "../key-usage.ts";
import { CERTS_ONLY_COUNT_MAX } from "../x509/format/index.ts";
import { addressOf, type HubServer } from "./endpoint.ts";
import { errorCode } from "./faults.ts";

/**
 * Checks chain, signature, name and usage. The handshake has proven that the peer has the
 * certificate's key. Path lengths and name constraints are not looked at.
 * @throws Fault `tls.hub-untrusted`, `tls.hub-name`.
 */
export function checkAllButDates(leaf: X509Certificate | undefined, hub: HubServer): void {
  const at = `the hub at ${addressOf(hub)}`;
  if (leaf === undefined) throw new Fault("tls.hub-untrusted", `open TLS to ${at}: it sent no certificate`);
  if (wayToPin(readPins(hub.authority), leaf, sentWith(leaf)) === undefined)
    throw new Fault(
      "tls.hub-untrusted",
      `open TLS to ${at}: its certificate is not signed by the pinned authority, nor by one below it`,
    );
  const named = isIP(hub.host) === 0 ? leaf.checkHost(hub.host, { subject: "never" }) : leaf.checkIP(hub.host);
  if (named === undefined) throw new Fault("tls.hub-name", `open TLS to ${at}: its certificate is not for "${hub.host}"`);
  if (leaf.ca || !isFor(leaf, SERVER_AUTH) || !maySign(leaf))
    throw new Fault("tls.hub-untrusted", `open TLS to ${at}: its certificate is not for a TLS server`);
}

/**
 * True when OpenSSL may have refused `error` because it has tried the key of another pin of the
 * same name. Then {@link checkByPinItself} may decide.
 */
export function isOfAnotherPin(error: unknown, authority: string): boolean {
  return errorCode(error) === "CERT_SIGNATURE_FAILURE" && haveOneName(readPins(authority));
}

/**
 * As {@link checkAllButDates}, and the dates too, for a certificate that a pin itself has signed:
 * without an authority in between there is no path whose constraints would have to be judged.
 * @throws Fault `tls.hub-untrusted`, `tls.hub-name`, `tls.hub-dates`.
 */
export function checkByPinItself(leaf: X509Certificate | undefined, hub: HubServer): void {
  checkAllButDates(leaf, hub);
  if (leaf === undefined || !readPins(hub.authority).some((pin) => isIssuedBy(leaf, pin) && isNow(pin)))
    throw new Fault(
      "tls.hub-untrusted",
      `open TLS to the hub at ${addressOf(hub)}: no pinned authority has signed its certificate`,
    );
  if (!isNow(leaf))
    throw new Fault(
      "tls.hub-dates",
      `open TLS to the hub at ${addressOf(hub)}: the dates of the hub's certificate do not fit this clock`,
    );
}

function isNow({ validFromDate, validToDate }: X509Certificate): boolean {
  return Date.now() >= validFromDate.getTime() && Date.now() <= validToDate.getTime();
}

/** What came with the peer's certificate, in the order of the handshake. */
function sentWith(leaf: X509Certificate): readonly X509Certificate[] {
  const sent: X509Certificate[] = [];
  for (let at = leaf.issuerCertificate; at !== undefined && sent.length < CERTS_ONLY_COUNT_MAX; at = at.issuerCertificate)
    sent.push(at);
  return sent;
}
