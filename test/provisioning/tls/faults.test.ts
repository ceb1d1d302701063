import { test } from "tap";
import { connectFault } from "../../../agent/tunnel/classify.ts";
import { tlsFault } from "../../../provisioning/tls/faults.ts";

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
});
