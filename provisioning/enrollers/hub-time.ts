// The request for the hub's time. Only this file may waive the dates of a certificate: a device
// whose clock is at 1970 must be able to learn the time. [ID-10] [ID-11]
import type { TLSSocket } from "node:tls";
import type * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { hostAndPort } from "../../hal/format/host.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { refusal } from "./est-status.ts";
import { exchange, type TimeoutOptions, withTimeout } from "./exchange.ts";
import { checkAllButDates, type HubServer, openStrictTls, openTls, secureContextFor } from "../tls/index.ts";

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
 * [ID-11] Nothing is written to the connection before everything but the dates has been checked, by
 * our own code: OpenSSL stops at the first error, so "not yet valid" is all it says of a
 * certificate by an attacker's authority too (seen).
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
