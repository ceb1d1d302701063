import { createSecureContext } from "node:tls";
import { test } from "tap";
import { keyFault } from "../../hal/key-fault.ts";
import { memoryKey } from "../lab/fakes/keys.ts";

test("[ID-48] what the TPM's provider refuses may pass, and says that the key is not lost; another key is a mismatch", async (t) => {
  const error = Object.assign(new Error("error:4080000C:tpm2::cannot load key"), {
    library: "tpm2",
    reason: "cannot load key",
  });
  t.match(keyFault("load the key", error), {
    code: "key.tpm-unavailable",
    message: "load the key: the TPM does not load the key now (cannot load key); the key is not lost, and it is tried again",
    cause: error,
  });
  const [pem, other] = [memoryKey().tlsKey(), "no certificate"];
  try {
    createSecureContext({ key: pem, cert: other });
    t.fail("OpenSSL takes no such certificate");
  } catch (cause) {
    t.match(keyFault("load the key", cause), { code: "key.mismatch", message: "load the key: they cannot be used together" });
  }
  t.match(keyFault("load the key", undefined), { code: "key.mismatch" });
});
