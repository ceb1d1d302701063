// Enrolment over Secure Transport: RFC 7030 with RFC 8951. [ID-7] [ID-9]
import { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import { der } from "../x509/format/index.ts";
import type { EnrolAnswer, Enroller } from "./enroller.ts";
import { readCertificates } from "./est-body.ts";
import { readEnrolAnswer, refusal } from "./est-status.ts";
import { followRedirects } from "./redirects.ts";
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
const LINE_CHARACTERS = 64;
const BAD_REQUEST = 400;

/** @returns an enroller that keeps nothing open between calls. */
export function createEstEnroller(options: EstEnrollerOptions): Enroller {
  return new EstEnroller(options);
}

class EstEnroller implements Enroller {
  readonly name = "est";
  readonly #options: EstEnrollerOptions;
  readonly #contexts: (client: ClientCredential | undefined) => SecureContext;
  /** What /csrattrs demanded and we do not send, for the message of a refusal. */
  #unmet: string | undefined;

  constructor(options: EstEnrollerOptions) {
    this.#options = options;
    this.#contexts = memoizeLast((client: ClientCredential | undefined) => secureContextFor(options.hub, client));
  }

  async prepare(): Promise<void> {
    checkAuthority(await this.#send("cacerts"), this.#options.hub);
    this.#unmet = await this.#send("csrattrs").then(unmetAttribute, ignored);
  }

  async enrol(request: Uint8Array): Promise<EnrolAnswer> {
    return this.#read(await this.#post("simpleenroll", request));
  }

  async renew(request: Uint8Array, current: ClientCredential): Promise<EnrolAnswer> {
    return this.#read(await this.#post("simplereenroll", request, current));
  }

  #read(answer: HttpsResponse): EnrolAnswer {
    try {
      return readEnrolAnswer(answer);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "enrol.refused" || this.#unmet === undefined) throw error;
      throw new Fault(error.code, `${error.message}; ${this.#unmet}`, { cause: error });
    }
  }

  /**
   * RFC 8951 section 3.1 permits base64 with and without line breaks. `openssl base64 -d`, and with
   * it libest, reads no long line; a few servers read nothing but one. The body goes in lines, and
   * once more in one line when the server calls that malformed.
   */
  async #post(operation: Operation, request: Uint8Array, client?: ClientCredential): Promise<HttpsResponse> {
    const digits = Buffer.from(request).toString("base64");
    const lines = digits.match(new RegExp(`.{1,${LINE_CHARACTERS}}`, "gu")) ?? [];
    const answer = await this.#send(operation, `${lines.join("\n")}\n`, client);
    return answer.status === BAD_REQUEST ? this.#send(operation, digits, client) : answer;
  }

  async #send(operation: Operation, body?: string, client?: ClientCredential): Promise<HttpsResponse> {
    const { hub, label } = this.#options;
    const context = this.#contexts(client);
    const first = `/.well-known/est/${label === undefined ? "" : `${label}/`}${operation}`;
    return withTimeout(`EST /${operation}`, this.#options, (signal) =>
      followRedirects(hub, first, async (path) =>
        exchange(await openStrictTls(hub, context, signal), requestOf(hub, path, body)),
      ),
    );
  }
}

function requestOf(hub: HubServer, path: string, body: string | undefined): HttpsRequest {
  const where = { path, host: `${hub.host}:${hub.port}`, bytesMax: RESPONSE_BYTES_MAX };
  if (body === undefined) return { ...where, method: "GET" };
  // Some servers demand the second header, although RFC 8951 section 3.1 removed its meaning. No
  // server accepts PEM armour.
  const headers = { "content-type": "application/pkcs10", "content-transfer-encoding": "base64" };
  return { ...where, method: "POST", headers, body };
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
 * What a server says of attributes is advice: whatever it is, also an error or garbage, enrolment
 * goes on (RFC 7030 section 4.5).
 * @returns words for an operator, should the request be refused.
 */
function unmetAttribute({ status, body }: HttpsResponse): string | undefined {
  try {
    return status === 200 && wantsChallengePassword(body)
      ? "by its /csrattrs it wants a challengePassword bound to TLS 1.2; switch that off for this label"
      : undefined;
  } catch (error) {
    return ignored(error);
  }
}

/**
 * A bare challengePassword asks for the TLS channel's id in the request, which TLS 1.3 does not
 * have (RFC 7030 section 4.5.2).
 * @throws Fault `enrol.bad-response` for what is not base64 of a CsrAttrs.
 */
export function wantsChallengePassword(body: Uint8Array): boolean {
  const text = Buffer.from(body).toString("latin1").replaceAll(/\s+/g, "");
  const reading = { code: "enrol.bad-response", what: "EST /csrattrs" } as const;
  const { content } = der.decodeBer(Buffer.from(text, "base64"), RESPONSE_BYTES_MAX, reading);
  const items = content instanceof Uint8Array ? [] : content;
  return items.some((item) => Buffer.from(der.encode(item)).equals(der.encode(CHALLENGE_PASSWORD)));
}

/** @throws a defect of ours. */
function ignored(error: unknown): undefined {
  if (!(error instanceof Fault) || error.code === "assert.broken") throw error;
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
