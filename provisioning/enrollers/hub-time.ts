// The request for the hub's time. Only this file may waive the dates of a certificate: a device
// whose clock is at 1970 must be able to learn the time. [ID-10] [ID-11]
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import type * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { hostAndPort } from "../../hal/format/host.ts";
import { parseJson } from "../../hal/format/json.ts";
import { readPins } from "../../hal/format/pins.ts";
import { check } from "../../hal/format/schema.ts";
import { wayToPin } from "../chain.ts";
import { isFor, maySign, SERVER_AUTH } from "../key-usage.ts";
import { CERTS_ONLY_COUNT_MAX } from "../x509/format/index.ts";
import { refusal } from "./est-status.ts";
import { exchange, type TimeoutOptions, withTimeout } from "./exchange.ts";
import { addressOf, type HubServer, openStrictTls, openTls, secureContextFor } from "../tls/index.ts";

/**
 * The request and the schema of its answer. ota/format/time.ts defines them, and the caller passes
 * them in.
 */
export interface HubTimeExchange<S extends v.GenericSchema> {
  readonly path: string;
  /** Device id and the warden's nonce, as JSON. */
  readonly body: string;
  readonly answer: S;
  readonly bytesMax: number;
}

/**
 * @param dates `strict` first; `waived` only after `tls.hub-dates`, while the clock may be wrong.
 * @returns the hub's answer, of which only the form was checked. The warden must verify that the
 *   hub's time key signed it for our nonce.
 * @throws Fault as {@link openStrictTls}; `enrol.timeout`, `enrol.too-large`, `enrol.bad-response`;
 *   or by status, as in enrolment.
 */
export async function askHubTime<const S extends v.GenericSchema>(
  hub: HubServer,
  dates: "strict" | "waived",
  request: HubTimeExchange<S>,
  timeout: TimeoutOptions = {},
): Promise<v.InferOutput<S>> {
  const what = `POST ${request.path}`;
  const { path, body, bytesMax } = request;
  const answer = await withTimeout(what, timeout, async (signal) => {
    const socket =
      dates === "strict"
        ? await openStrictTls(hub, secureContextFor(hub, undefined), signal)
        : await openDatesWaived(hub, signal);
    const headers = { "content-type": "application/json" };
    return exchange(socket, { method: "POST", path, host: hostAndPort(hub), headers, body, bytesMax });
  });
  if (answer.status !== 200) throw refusal(answer, what);
  return check(request.answer, readJson(answer.body, bytesMax, what), what, "enrol.bad-response");
}

function readJson(body: Uint8Array, bytesMax: number, what: string): unknown {
  try {
    return parseJson(body, bytesMax, what);
  } catch (error) {
    throw new Fault("enrol.bad-response", `${what}: the answer is not JSON`, { cause: error });
  }
}

/**
 * [ID-11] Nothing is written to the connection before everything but the dates has been checked.
 */
async function openDatesWaived(hub: HubServer, signal: AbortSignal): Promise<TLSSocket> {
  const socket = await openTls(hub, { secureContext: secureContextFor(hub, undefined), rejectUnauthorized: false }, signal);
  try {
    checkAllButDates(socket.getPeerX509Certificate(), hub);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/**
 * Checks chain, signature, name and usage with our own code: OpenSSL stops at the first error, so
 * "not yet valid" is all it says of a certificate by an attacker's authority too (seen). The
 * handshake has proven that the peer has the certificate's key.
 */
function checkAllButDates(leaf: X509Certificate | undefined, hub: HubServer): void {
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

/** What came with the peer's certificate, in the order of the handshake. */
function sentWith(leaf: X509Certificate): readonly X509Certificate[] {
  const sent: X509Certificate[] = [];
  for (let at = leaf.issuerCertificate; at !== undefined && sent.length < CERTS_ONLY_COUNT_MAX; at = at.issuerCertificate)
    sent.push(at);
  return sent;
}
