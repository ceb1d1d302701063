// Enrolment over Secure Transport: RFC 7030 as RFC 8951 corrects it. [ID-7] [ID-9]
import { TLSSocket } from "node:tls";
import type { X509Certificate } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
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
import { decodeBody, encodeBody } from "./base64.ts";
import { sendTextErrors, textError } from "./text-errors.ts";

export interface EstRouteOptions {
  readonly context: DeviceContext;
  readonly judge: (certificate: X509Certificate | undefined) => Promise<DeviceAdmission>;
  /** Seconds after which a pending device may ask again. */
  readonly retryAfterS: number;
}

const BASE = "/.well-known/est";
const BUSY_RETRY_S = 300;

/** RFC 7030 section 4.5.2, as RFC 8951 writes it: a P-256 key, ecdsa-with-SHA256. */
const CSR_ATTRIBUTES = der.encode(der.sequence(der.sequence(OID.ecPublicKey, der.setOf(OID.prime256v1)), OID.ecdsaWithSha256));

export function estRoutes(server: FastifyInstance, { context, judge, retryAfterS }: EstRouteOptions): void {
  server.get(`${BASE}/cacerts`, (_request, reply) =>
    send(reply, "application/pkcs7-mime", encodeCertsOnly([context.issuer.certificate.raw])),
  );
  server.get(`${BASE}/csrattrs`, (_request, reply) => send(reply, "application/csrattrs", CSR_ATTRIBUTES));

  server.post(`${BASE}/simpleenroll`, async (request, reply) => {
    const asked = readRequest(decodeBody(request.body));
    return answer(reply, await enrol(context, asked, request.ip, Date.now()), retryAfterS);
  });

  server.post(`${BASE}/simplereenroll`, async (request, reply) => {
    const admission = await judge(peerOf(request));
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
    if (asked.id !== admission.deviceId)
      throw new Fault("enrol.mismatch", `the request is for "${asked.id}", but the certificate is for "${admission.deviceId}"`);
    return answer(reply, await reenrol(context, asked, admission.serial, request.ip, Date.now()), retryAfterS);
  });
}

function answer(reply: FastifyReply, outcome: EnrolOutcome, retryAfterS: number): FastifyReply {
  switch (outcome.kind) {
    case "issued":
      return send(reply, "application/pkcs7-mime; smime-type=certs-only", encodeCertsOnly([outcome.certificate.der]));
    case "pending": {
      const { id, fingerprint } = outcome;
      reply.header("retry-after", String(retryAfterS));
      return textError(
        reply,
        202,
        `"${id}" with key ${fingerprint} waits for approval. Compare both with what the device shows, then run on the hub: sallyport-hub devices approve ${id} ${fingerprint}`,
      );
    }
    case "busy":
      reply.header("retry-after", String(BUSY_RETRY_S));
      return textError(reply, 503, "this id has too many valid certificates; try again later");
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

function peerOf(request: FastifyRequest): X509Certificate | undefined {
  const { socket } = request.raw;
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
}
