// Enrolment over Secure Transport: RFC 7030 with RFC 8951. [ID-7] [ID-9]
import { X509Certificate } from "node:crypto";
import type { SecureContext } from "node:tls";
import { Fault } from "../../hal/fault.ts";
import { hostAndPort } from "../../hal/format/host.ts";
import { certificateBlocks, isSameAuthority, readPins } from "../../hal/format/pins.ts";
import { wayToPin } from "../chain.ts";
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
  /**
   * What /cacerts listed last, each DER. It completes chains and is never trusted: trust comes with
   * the image alone. [ID-84]
   */
  #listed: readonly Uint8Array[] = [];
  /** What /csrattrs demanded and we do not send, for the message of a refusal. */
  #unmet: string | undefined;

  constructor(options: EstEnrollerOptions) {
    this.#options = options;
    this.#contexts = memoizeLast((client: ClientCredential | undefined) => secureContextFor(options.hub, client));
  }

  async prepare(): Promise<void> {
    await this.#list();
    this.#unmet = await this.#send("csrattrs").then(unmetAttribute, ignored);
  }

  async enrol(request: Uint8Array): Promise<EnrolAnswer> {
    return this.#completed(this.#read(await this.#post("simpleenroll", request)), []);
  }

  async renew(request: Uint8Array, current: ClientCredential): Promise<EnrolAnswer> {
    const answer = this.#read(await this.#post("simplereenroll", request, current));
    return this.#completed(answer, certificateBlocks(current.certificate));
  }

  /**
   * RFC 7030 section 4.2.3 lets a server answer with the issued certificate alone: what leads from
   * it to the pin is in /cacerts. That is asked for again when the authority may have another
   * issuing CA by now. An issued certificate is never lost because this request fails.
   */
  async #completed(answer: EnrolAnswer, earlier: readonly Uint8Array[]): Promise<EnrolAnswer> {
    if (answer.kind !== "issued") return answer;
    const { certificates } = answer;
    const [issued, known] = [parsed(certificates), () => parsed([...certificates, ...this.#listed, ...earlier])];
    const pins = readPins(this.#options.hub.authority);
    if (!issued.some((one) => !one.ca && wayToPin(pins, one, known()) !== undefined)) await this.#list().catch(ignored);
    const authorities = parsed([...this.#listed, ...earlier]).filter((one) => one.ca);
    return { kind: "issued", certificates: [...certificates, ...authorities.map(({ raw }) => raw)] };
  }

  async #list(): Promise<void> {
    this.#listed = checkAuthority(await this.#send("cacerts"), this.#options.hub);
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
  const where = { path, host: hostAndPort(hub), bytesMax: RESPONSE_BYTES_MAX };
  if (body === undefined) return { ...where, method: "GET" };
  // Some servers demand the second header, although RFC 8951 section 3.1 removed its meaning. No
  // server accepts PEM armour.
  const headers = { "content-type": "application/pkcs10", "content-transfer-encoding": "base64" };
  return { ...where, method: "POST", headers, body };
}

/**
 * [ID-7] [ID-84] Among the authorities that the server lists there must be a pinned one, or one
 * that a pinned one leads to: a new root that the old one has signed (RFC 7030 section 4.1.3), or
 * an issuing CA without its root. Otherwise this is another authority behind one of our names.
 * @returns the list, each DER.
 */
export function checkAuthority(answer: HttpsResponse, hub: HubServer): readonly Uint8Array[] {
  if (answer.status !== 200) throw refusal(answer, "EST /cacerts");
  const [pins, listed] = [readPins(hub.authority), readCertificates(answer.body)];
  const known = parsed(listed);
  if (!known.some((one) => pins.some((pin) => isSameAuthority(one, pin)) || (one.ca && wayToPin(pins, one, known) !== undefined)))
    throw new Fault(
      "enrol.mismatch",
      `EST /cacerts: no pinned authority is among those of "${hub.host}", nor has one issued any of them; check the hub's address and anchors`,
    );
  return listed;
}

/** What is no certificate is left out: it leads nowhere. */
function parsed(certificates: readonly Uint8Array[]): readonly X509Certificate[] {
  return certificates.flatMap((bytes) => {
    try {
      return [new X509Certificate(bytes)];
    } catch {
      return [];
    }
  });
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
