// Enrolment over Secure Transport: RFC 7030 as RFC 8951 corrects it. [ID-7] [ID-9]
import type { X509Certificate } from "node:crypto";
import type { FastifyInstance, FastifyReply } from "fastify";
import { Fault } from "../../hal/fault.ts";
import { der, encodeCertsOnly } from "../../provisioning/x509/format/index.ts";
import { OID } from "../authority/index.ts";
import {
  type DeviceAdmission,
  type DeviceContext,
  enrol,
  type EnrolOutcome,
  readRequest,
  reenrol,
  REFUSALS,
} from "../devices/index.ts";
import { ENROLMENTS_BURST, ENROLMENTS_PER_S, HURRIED_RETRY_S } from "../limits.ts";
import { Pace } from "../pace.ts";
import { decodeBody, encodeBody } from "./base64.ts";
import { shownBy } from "./requester.ts";
import { sendTextErrors, textError } from "./text-errors.ts";

export interface EstRouteOptions {
  readonly context: DeviceContext;
  readonly judge: (certificate: X509Certificate | undefined) => Promise<DeviceAdmission>;
  /** Seconds after which a pending device may ask again. */
  readonly retryAfterS: number;
}

const BASE = "/.well-known/est";
const BUSY_RETRY_S = 300;
/** For requests that come faster than their pace. */

/** RFC 7030 section 4.5.2, as RFC 8951 writes it: a P-256 key, ecdsa-with-SHA256. */
const CSR_ATTRIBUTES = der.encode(der.sequence(der.sequence(OID.ecPublicKey, der.setOf(OID.prime256v1)), OID.ecdsaWithSha256));

export function estRoutes(server: FastifyInstance, { context, judge, retryAfterS }: EstRouteOptions): void {
  // [TUN-25] By id and the key that signed the request: nobody else can use up a device's pace.
  const keys = new Pace({ burst: ENROLMENTS_BURST, perSecond: ENROLMENTS_PER_S });
  server.get(`${BASE}/cacerts`, (_request, reply) =>
    send(reply, "application/pkcs7-mime", encodeCertsOnly([context.issuer.certificate.raw])),
  );
  server.get(`${BASE}/csrattrs`, (_request, reply) => send(reply, "application/csrattrs", CSR_ATTRIBUTES));

  server.post(`${BASE}/simpleenroll`, async (request, reply) => {
    const asked = readRequest(decodeBody(request.body));
    if (!keys.take(`${asked.id} ${asked.fingerprint}`)) return tooOften(reply);
    return answer(reply, await enrol(context, asked, request.ip, Date.now()), retryAfterS);
  });

  server.post(`${BASE}/simplereenroll`, async (request, reply) => {
    const admission = await judge(shownBy(request.raw.socket));
    if (!admission.admitted) {
      context.journal("enrolment.refused", undefined, {
        reason: admission.reason,
        claimed: admission.claimed,
        address: request.ip,
      });
      const hint = "renewal presents the current certificate in TLS; without a valid one, enrol at /simpleenroll";
      return textError(reply, 401, `enrol.unauthorized: ${REFUSALS[admission.reason]}; ${hint}`);
    }
    const asked = readRequest(decodeBody(request.body));
    if (asked.id !== admission.deviceId) {
      // [ID-95]
      const { deviceId, fingerprint } = admission;
      if (asked.fingerprint === fingerprint)
        context.journal("device.same-key", undefined, {
          id: asked.id,
          fingerprint,
          others: `${deviceId} (approved)`,
          address: request.ip,
        });
      throw new Fault("enrol.mismatch", `the request is for "${asked.id}", but the certificate is for "${deviceId}"`);
    }
    // [ID-63] A new key costs its maker nothing, so those that a device asks for have one pace.
    const paced = asked.fingerprint === admission.fingerprint ? asked.fingerprint : "another key";
    if (!keys.take(`${asked.id} ${paced}`)) return tooOften(reply);
    return answer(reply, await reenrol(context, asked, admission, request.ip, Date.now()), retryAfterS);
  });
}

function tooOften(reply: FastifyReply): FastifyReply {
  return textError(reply.header("retry-after", String(HURRIED_RETRY_S)), 429, "this key asks too often; try again later");
}

function answer(reply: FastifyReply, outcome: EnrolOutcome, retryAfterS: number): FastifyReply {
  switch (outcome.kind) {
    case "issued":
      return send(reply, "application/pkcs7-mime; smime-type=certs-only", encodeCertsOnly([outcome.certificate.der]));
    case "pending": {
      const { id, fingerprint, command, taken } = outcome;
      reply.header("retry-after", String(retryAfterS));
      // [ID-95] The code tells the device; what is in force is told to nobody.
      if (taken === true)
        return textError(
          reply,
          202,
          `enrol.id-taken: another key is in force for "${id}", so two boards may claim this id. On the hub, sallyport-hub devices approve ${id} ${fingerprint} says what to do`,
        );
      return textError(
        reply,
        202,
        `"${id}" with key ${fingerprint} waits for approval. Compare both with what the device shows, then run on the hub: sallyport-hub ${command ?? `devices approve ${id} ${fingerprint}`}`,
      );
    }
    case "busy":
      reply.header("retry-after", String(BUSY_RETRY_S));
      return textError(reply, 503, "this id has too many valid certificates; try again later");
    case "crowded":
      reply.header("retry-after", String(HURRIED_RETRY_S));
      return textError(reply, 503, "too many new requests from this address; try again later");
    case "paced":
      reply.header("retry-after", String(Math.ceil(outcome.retryAfterMs / 1000)));
      return textError(reply, 429, "this device got a certificate a moment ago; ask again after a tenth of its life");
    case "refused":
      if (!sendTextErrors(reply, outcome.fault)) throw outcome.fault;
      return reply;
  }
}

/** RFC 8951 section 3.1: the header has no effect any more, but older clients expect it. */
function send(reply: FastifyReply, type: string, bytes: Uint8Array): FastifyReply {
  return reply.header("content-transfer-encoding", "base64").type(type).send(encodeBody(bytes));
}
