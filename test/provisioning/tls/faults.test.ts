import { test } from "tap";
import { connectFault } from "../../../agent/tunnel/classify.ts";
import { Fault } from "../../../hal/fault.ts";
import { tlsFault } from "../../../provisioning/tls/faults.ts";
import { openStrictTls, secureContextFor } from "../../../provisioning/tls/index.ts";
import { NEVER_ASKED } from "../../lab/counterparts/pki.ts";
import { startTcpPeer } from "../../lab/counterparts/tls-peer.ts";
import { HANG_MS } from "../../lab/runner/process.ts";

const failure = (code: string | undefined, message: string): Error =>
  Object.assign(new RangeError(message), code === undefined ? {} : { code });

test("[ID-7] [TUN-2] enrolment and tunnel judge a TLS failure about the hub's certificate in the same way", async (t) => {
  const judged: readonly (readonly [string, Error])[] = [
    ["tls.hub-dates", failure("CERT_HAS_EXPIRED", "certificate has expired")],
    ["tls.hub-dates", failure("CERT_NOT_YET_VALID", "certificate is not yet valid")],
    ["tls.hub-name", failure("ERR_TLS_CERT_ALTNAME_INVALID", "Hostname/IP does not match certificate's altnames")],
    [
      "tls.hub-untrusted",
      failure("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certificate; try --use-system-ca"),
    ],
    ["tls.hub-untrusted", failure("INVALID_PURPOSE", "unsuitable certificate purpose")],
    ["tls.hub-untrusted", failure("ERR_SSL_CERTIFICATE_VERIFY_FAILED", "error:0A000086:SSL routines::certificate verify failed")],
    ["tls.hub-untrusted", failure(undefined, "self-signed certificate in certificate chain")],
  ];
  for (const [code, error] of judged) {
    for (const fault of [tlsFault(error, "enrol.unreachable", "hub.example:8443"), connectFault(error, "connect")]) {
      t.equal(fault.code, code, error.message);
      t.notMatch(fault.message, /system-ca/u, "the text does not advise to trust the system's authorities");
      t.equal(fault.cause, error);
    }
  }
});

test("[TUN-2] a failure that is not about the hub's certificate keeps the caller's code", async (t) => {
  const reset = failure("ECONNRESET", "read ECONNRESET");
  t.equal(tlsFault(reset, "enrol.unreachable", "hub.example:8443").code, "enrol.unreachable");
  t.equal(connectFault(reset, "connect").code, "tunnel.unreachable");
  t.equal(connectFault(failure("ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "tlsv1 alert unknown ca"), "connect").code, "tunnel.refused");
  const revoked = failure("ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED", "sslv3 alert certificate revoked");
  t.equal(connectFault(revoked, "connect").code, "tunnel.revoked", "[TUN-74] only this alert says so");
  const expired = failure("ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED", "sslv3 alert certificate expired");
  t.equal(connectFault(expired, "connect").code, "tunnel.refused");
});

test("[TUN-2] what does not speak TLS is named as that, without OpenSSL's sources, and with what to compare", async (t) => {
  for (const answer of ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "nonsense nonsense nonsense"]) {
    const port = await startTcpPeer(t, (socket) => void socket.once("data", () => socket.end(answer)));
    const hub = { host: "127.0.0.1", port, authority: NEVER_ASKED };
    const error: unknown = await openStrictTls(hub, secureContextFor(hub, undefined), AbortSignal.timeout(HANG_MS)).then(
      () => undefined,
      (refused: unknown) => refused,
    );
    if (!(error instanceof Fault)) return void t.fail("it is refused");
    for (const fault of [error, connectFault(error.cause, "connect")]) {
      t.match(fault.message, /does not speak TLS \([a-z ]+\); compare host and port with the hub's/u, answer);
      t.notMatch(fault.message, /deps|\.c:|error:/u);
    }
  }
  return undefined;
});
