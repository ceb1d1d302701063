// Enrolment over Secure Transport: RFC 7030 with RFC 8951. [ID-7] [ID-9]
import { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import { der } from "../x509/format/index.ts";
import type { EnrolAnswer, Enroller } from "./enroller.ts";
import { readCertificates } from "./est-body.ts";
import { readEnrolAnswer, refusal } from "./est-status.ts";
import { type HttpsResponse, exchange, type TimeoutOptions, type HttpsRequest, withTimeout } from "./exchange.ts";
import { RESPONSE_BYTES_MAX } from "./limits.ts";
import { type ClientCredential, type HubServer, openStrictTls, secureContextFor } from "../tls/index.ts";

export interface EstEnrollerOptions extends TimeoutOptions {
  readonly hub: HubServer;
  /** Tells the roles of an authority apart: `/.well-known/est/{label}/...`. */
  readonly label?: string | undefined;
}

type Operation = "cacerts" | "csrattrs" | "simpleenroll" | "simplereenroll";

const CHALLENGE_PASSWORD = der.oid("1.2.840.113549.1.9.7");

/** @returns an enroller that keeps nothing open between calls. */
export function createEstEnroller(options: EstEnrollerOptions): Enroller {
  const { hub, label } = options;
  const contexts = memoizeLast((client: ClientCredential | undefined) => secureContextFor(hub, client));

  async function send(operation: Operation, request?: Uint8Array, client?: ClientCredential): Promise<HttpsResponse> {
    return withTimeout(`EST /${operation}`, options, async (signal) =>
      exchange(await openStrictTls(hub, contexts(client), signal), requestOf(hub, label, operation, request)),
    );
  }

  return {
    name: "est",
    async prepare() {
      checkAuthority(await send("cacerts"), hub);
      checkAttributes(await send("csrattrs"));
    },
    async enrol(request): Promise<EnrolAnswer> {
      return readEnrolAnswer(await send("simpleenroll", request));
    },
    async renew(request, current): Promise<EnrolAnswer> {
      return readEnrolAnswer(await send("simplereenroll", request, current));
    },
  };
}

function requestOf(
  hub: HubServer,
  label: string | undefined,
  operation: Operation,
  request: Uint8Array | undefined,
): HttpsRequest {
  const path = `/.well-known/est/${label === undefined ? "" : `${label}/`}${operation}`;
  const where = { path, host: `${hub.host}:${hub.port}`, bytesMax: RESPONSE_BYTES_MAX };
  if (request === undefined) return { ...where, method: "GET" };
  return {
    ...where,
    method: "POST",
    // Some servers demand the second header, although RFC 8951 section 3.1 removed its meaning. No
    // server accepts PEM armour.
    headers: { "content-type": "application/pkcs10", "content-transfer-encoding": "base64" },
    body: Buffer.from(request).toString("base64"),
  };
}

/**
 * [ID-7] The authorities that the server lists must include the one that came with the image.
 * Otherwise this is another authority behind one of our names.
 */
export function checkAuthority(answer: HttpsResponse, hub: HubServer): void {
  if (answer.status !== 200) throw refusal(answer, "EST /cacerts");
  const pin = new X509Certificate(hub.authority).raw;
  if (!readCertificates(answer.body).some((certificate) => pin.equals(certificate)))
    throw new Fault(
      "enrol.mismatch",
      `EST /cacerts: the pinned authority is not among those of "${hub.host}"; check the hub's address and anchors`,
    );
}

/**
 * RFC 7030 section 4.5.2: a bare challengePassword asks for the TLS channel's id in the request,
 * which TLS 1.3 does not have. The other attributes are advice.
 */
export function checkAttributes(answer: HttpsResponse): void {
  if (answer.status === 204 || answer.status === 404 || answer.body.byteLength === 0) return;
  if (answer.status !== 200) throw refusal(answer, "EST /csrattrs");
  const text = Buffer.from(answer.body).toString("latin1").replaceAll(/\s+/g, "");
  const bytes = Buffer.from(text, "base64");
  const attributes = der.decodeBer(bytes, RESPONSE_BYTES_MAX, { code: "enrol.bad-response", what: "EST /csrattrs" });
  const items = attributes.content instanceof Uint8Array ? [] : attributes.content;
  const wantsPassword = items.some((item) => Buffer.from(der.encode(item)).equals(der.encode(CHALLENGE_PASSWORD)));
  if (wantsPassword)
    throw new Fault(
      "enrol.mismatch",
      "EST /csrattrs: the authority demands a challengePassword bound to TLS 1.2; switch that off for this label",
    );
}

/**
 * Keeps the TLS context of the last credential, and makes another only when the credential changes.
 * See {@link secureContextFor}.
 */
function memoizeLast(
  make: (client: ClientCredential | undefined) => SecureContext,
): (client: ClientCredential | undefined) => SecureContext {
  const last = new Map<string, SecureContext>();
  return (client) => {
    const name = client === undefined ? "" : `${client.certificate}\n${client.key}`;
    const context = last.get(name) ?? make(client);
    last.clear();
    last.set(name, context);
    return context;
  };
}
