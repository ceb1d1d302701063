// The notice to the hub that the device is on another board: one strict HTTPS request with the
// device's certificate. [ID-97]
import type * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { hostAndPort } from "../../hal/format/host.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { type ClientCredential, type HubServer, openStrictTls, secureContextFor } from "../tls/index.ts";
import { refusal } from "./est-status.ts";
import { exchange, type TimeoutOptions, withTimeout } from "./exchange.ts";
import type { HubTimeExchange } from "./hub-time.ts";

/**
 * @returns the hub's answer, of which only the form was checked.
 * @throws Fault as {@link openStrictTls}; `enrol.timeout`, `enrol.too-large`, `enrol.bad-response`;
 *   or by status, as in enrolment.
 */
export async function postToHub<const S extends v.GenericSchema>(
  hub: HubServer,
  client: ClientCredential,
  { path, body, answer: schema, bytesMax }: HubTimeExchange<S>,
  timeout: TimeoutOptions = {},
): Promise<v.InferOutput<S>> {
  const what = `POST ${path}`;
  const answer = await withTimeout(what, timeout, async (signal) => {
    const socket = await openStrictTls(hub, secureContextFor(hub, client), signal);
    const headers = { "content-type": "application/json" };
    return exchange(socket, { method: "POST", path, host: hostAndPort(hub), headers, body, bytesMax });
  });
  if (answer.status !== 200) throw refusal(answer, what);
  try {
    return check(schema, parseJson(answer.body, bytesMax, what), what, "enrol.bad-response");
  } catch (error) {
    throw new Fault("enrol.bad-response", `${what}: the answer is not what was expected`, { cause: error });
  }
}
