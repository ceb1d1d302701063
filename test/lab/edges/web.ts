// The edges of HTTP, EST and MQTT beside their bodies: headers, paths, topics, and certificates
// that an authority sends.
import { X509Certificate } from "node:crypto";
import { isServable } from "../../../hub/repository/files.ts";
import { rangeOf } from "../../../hub/repository/range.ts";
import { mayPublish, maySubscribe } from "../../../hub/broker/rights.ts";
import { checkIssued } from "../../../provisioning/certificate/index.ts";
import { readCertificates } from "../../../provisioning/enrollers/est-body.ts";
import { checkAuthority, wantsChallengePassword } from "../../../provisioning/enrollers/est.ts";
import { readEnrolAnswer } from "../../../provisioning/enrollers/est-status.ts";
import { RESPONSE_BYTES_MAX, RETRY_AFTER_MS_DEFAULT } from "../../../provisioning/enrollers/limits.ts";
import { CERTS_ONLY_COUNT_MAX, der, encodeCertsOnly } from "../../../provisioning/x509/format/index.ts";
import { type Credential, issue, makeAuthority } from "../counterparts/pki.ts";
import { DEVICE_ID } from "../worlds/lockdown.ts";
import { base64, hostileDer, mapped } from "./der.ts";
import { type Edge, notIgnored, padded, text } from "./edge.ts";
import { scratch } from "./scratch.ts";

/** Node's own bound of a head (http.maxHeaderSize). */
const HEAD_BYTES_MAX = 16_384;
/** MQTT 3.1.1 section 1.5.3. */
const MQTT_TEXT_BYTES_MAX = 65_535;

export function webEdges(): ReadonlyMap<string, Edge> {
  const words = (bytesMax: number, valid: string, fills: readonly string[], read: (words: string) => unknown): Edge => ({
    bytesMax,
    boundedBefore: true,
    take: (bytes) => notIgnored(read(Buffer.from(bytes).toString("latin1"))),
    valid: () => Buffer.from(valid),
    worst: new Map(fills.map((fill) => [JSON.stringify(fill), text(fill, bytesMax)])),
  });
  const times = ["9", " ", "Sun, 06 Nov 1994 ", "(", "1:", "-", "GMT+1"];
  return new Map<string, Edge>([
    ["Retry-After", words(HEAD_BYTES_MAX, "120", times, (value) => retryAfter({ "retry-after": value }))],
    [
      "Retry-After and Date",
      words(HEAD_BYTES_MAX, "Sun, 06 Nov 1994 08:49:37 GMT", times, (value) =>
        retryAfter({ "retry-after": value, date: value.length > 100 ? value : "Sun, 06 Nov 1994 08:48:00 GMT" }),
      ),
    ],
    ["Range", words(HEAD_BYTES_MAX, "bytes=0-99", ["bytes=0-", "9", "bytes=0-99,", " "], (value) => rangeOf(value, 1000))],
    [
      "path of a file of the repository",
      words(HEAD_BYTES_MAX, `targets/${"a".repeat(255)}`, ["a/", "a", "../", "/", "%"], (path) =>
        isServable(path) ? path : undefined,
      ),
    ],
    [
      "topic of a message",
      words(MQTT_TEXT_BYTES_MAX, `sallyport/1/${DEVICE_ID}/up/status`, ["/", "a", "sallyport/1/", "+"], (topic) =>
        allowed(mayPublish(DEVICE_ID, { topic, payload: "" })),
      ),
    ],
    [
      "filter of a subscription",
      words(MQTT_TEXT_BYTES_MAX, `sallyport/1/${DEVICE_ID}/down/+`, ["#", "+/", `sallyport/1/${DEVICE_ID}/down/`], (filter) =>
        maySubscribe(DEVICE_ID, filter) ? filter : undefined,
      ),
    ],
    ...authorityEdges(),
  ]);
}

function retryAfter(headers: Readonly<Record<string, string>>): unknown {
  const answer = readEnrolAnswer({ status: 202, headers, body: new Uint8Array() });
  return answer.kind === "later" && answer.retryAfterMs !== RETRY_AFTER_MS_DEFAULT ? answer : undefined;
}

function allowed(right: ReturnType<typeof mayPublish>): unknown {
  return "refused" in right ? undefined : right;
}

const raw = ({ cert }: Credential): Uint8Array => new X509Certificate(cert).raw;

/** What an authority says: its own certificate, what a request must have, and ours. */
function authorityEdges(): readonly (readonly [string, Edge])[] {
  scratch.write("pki/.keep", "");
  const directory = scratch.path("pki");
  const authority = makeAuthority(directory, "ca");
  const ours = issue(directory, "ours", authority, { commonName: DEVICE_ID, usages: ["clientAuth"] });
  const hub = { host: "hub.example", port: 8443, authority: authority.cert };
  const publicKey = new X509Certificate(ours.cert).publicKey.export({ format: "der", type: "spki" });
  const expected = { deviceId: DEVICE_ID, publicKey, authority: authority.cert, nowMs: undefined };
  const of = (...certificates: readonly Uint8Array[]): Uint8Array =>
    padded(Buffer.from(base64(encodeCertsOnly(certificates))).toString(), RESPONSE_BYTES_MAX);
  const many = Array.from({ length: CERTS_ONLY_COUNT_MAX - 1 }, () => raw(authority));
  const edge = (
    valid: () => Uint8Array,
    worst: readonly (readonly [string, () => Uint8Array])[],
    take: (body: Uint8Array) => unknown,
  ): Edge => ({
    bytesMax: RESPONSE_BYTES_MAX,
    boundedBefore: true,
    take,
    valid,
    worst: new Map([...mapped(hostileDer(65_535), base64), ...worst]),
  });
  const answer = (body: Uint8Array) => ({ status: 200, headers: {}, body });
  return [
    [
      "EST /cacerts",
      edge(
        () => of(...many, raw(authority)),
        [["strangers only", () => of(...many.map(() => raw(ours)))]],
        (body) => checkAuthority(answer(body), hub),
      ),
    ],
    [
      "EST /csrattrs",
      edge(
        () => base64(der.encode(der.sequence(...Array.from({ length: 4000 }, () => der.oid("1.2.840.10045.2.1"))))),
        [
          ["text", text("a", RESPONSE_BYTES_MAX)],
          ["line ends", text("\n", RESPONSE_BYTES_MAX)],
        ],
        (body) => void wantsChallengePassword(body),
      ),
    ],
    [
      "certificates that were issued",
      edge(
        () => of(...many, raw(ours)),
        [["strangers only", () => of(...many)]],
        (body) => checkIssued(readCertificates(body), expected),
      ),
    ],
  ];
}
