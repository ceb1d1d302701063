// The meaning of an EST server's status code. [ID-7]
import { Fault, type FaultCode } from "../../hal/fault.ts";
import { readRetryAfterMs } from "../../hal/format/retry-after.ts";
import { quoted } from "../../hal/format/text.ts";
import type { EnrolAnswer } from "./enroller.ts";
import { readCertificates } from "./est-body.ts";
import type { HttpsResponse } from "./exchange.ts";
import { QUOTED_BYTES_MAX, RETRY_AFTER_MS_DEFAULT } from "./limits.ts";

/**
 * @throws Fault `enrol.bad-response`, `enrol.unauthorized`, `enrol.denied`, `enrol.refused`,
 *   `enrol.server-error`.
 */
export function readEnrolAnswer(answer: HttpsResponse): EnrolAnswer {
  const { status, headers } = answer;
  if (status === 200) return { kind: "issued", certificates: readCertificates(answer.body) };
  if (status === 202)
    return { kind: "later", code: "enrol.pending", retryAfterMs: retryAfterMs(headers["retry-after"], headers.date) };
  // An authority under load, or what is in front of it, says when to come back. Obeying it is
  // better than our own guess.
  if ((status === 429 || status >= 500) && headers["retry-after"] !== undefined)
    return { kind: "later", code: "enrol.server-error", retryAfterMs: retryAfterMs(headers["retry-after"], headers.date) };
  throw refusal(answer, "enrol");
}

/**
 * @returns the Fault for a status that brings no certificate and that waiting alone will not
 *   change.
 */
export function refusal(answer: HttpsResponse, what: string): Fault {
  const reason = firstLine(answer.body);
  const quotation = reason === "" ? "" : `, saying ${quoted(reason, QUOTED_BYTES_MAX)}`;
  const { "retry-after": again, date } = answer.headers;
  return new Fault(codeOf(answer.status), `${what}: the authority answered ${answer.status}${quotation}`, {
    retryAfterMs: readRetryAfterMs(again, date),
  });
}

function codeOf(status: number): FaultCode {
  if (status === 401) return "enrol.unauthorized";
  if (status === 403) return "enrol.denied";
  if (status >= 400 && status < 500) return "enrol.refused";
  return status >= 500 && status < 600 ? "enrol.server-error" : "enrol.bad-response";
}

/** @returns what the answer asks for, or else {@link RETRY_AFTER_MS_DEFAULT}. [OTA-77] */
export function retryAfterMs(value: string | undefined, date: string | undefined): number {
  return readRetryAfterMs(value, date) ?? RETRY_AFTER_MS_DEFAULT;
}

function firstLine(body: Uint8Array): string {
  const [line = ""] = Buffer.from(body.subarray(0, QUOTED_BYTES_MAX))
    .toString("utf8")
    .trim()
    .split(/[\r\n]/);
  return line;
}
