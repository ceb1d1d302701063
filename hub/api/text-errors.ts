// Error answers in plain text: one line for a person at a terminal, with what to do next.
import type { FastifyReply } from "fastify";
import type { Fault, FaultCode } from "../../hal/fault.ts";

const STATUS: Partial<Record<FaultCode, number>> = {
  "csr.invalid": 400,
  "json.invalid": 400,
  "schema.invalid": 400,
  "json.too-large": 413,
  "enrol.unauthorized": 401,
  "enrol.mismatch": 403,
  "hub.device-denied": 403,
  "hub.device-revoked": 403,
};

/**
 * RFC 9110 section 15.5.2: a 401 says how to authenticate. Here that is the client certificate of
 * TLS, for which no scheme is registered, so the realm names it.
 */
const CHALLENGE = 'Certificate realm="the current certificate of the device, in TLS"';

export function textError(reply: FastifyReply, status: number, text: string): FastifyReply {
  if (status === 401) reply.header("www-authenticate", CHALLENGE);
  return reply.code(status).type("text/plain; charset=utf-8").send(`${text}\n`);
}

/** @returns false for a fault that the client did not cause; then nothing is sent. */
export function sendTextErrors(reply: FastifyReply, fault: Fault): boolean {
  const status = STATUS[fault.code];
  if (status === undefined) return false;
  textError(reply, status, `${fault.code}: ${fault.message}`);
  return true;
}
