import * as v from "valibot";
import { test } from "tap";
import { deviceIdentitySchema } from "../../hal/format/identity.ts";
import { describeRequest, signRequest } from "../../provisioning/index.ts";
import { parseRequest } from "../../provisioning/x509/format/index.ts";
import { memoryKey } from "../lab/fakes/keys.ts";

const IDENTITY = v.parse(deviceIdentitySchema, {
  id: "gw-1",
  source: "serial",
  boardSerial: "SN-42",
  macs: ["00:24:be:80:4f:f1", "00:24:be:80:4f:f2"],
  model: "ACME Edge-Gateway 7",
});
const AUDIT_KEY = "sallyport/1/gw-1+0a1b2c3d+AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

test("[ID-5] [ID-60] a device's request has id, board serial, each MAC, the product when there is an enterprise number, the audit key and the key's protection", async (t) => {
  const key = memoryKey();
  const request = parseRequest(await signRequest(IDENTITY, key, { auditKey: AUDIT_KEY, enterpriseNumber: 32473 }));
  t.same(request, {
    commonName: "gw-1",
    serialNumber: "SN-42",
    uris: ["urn:dev:mac:0024befffe804ff1", "urn:dev:mac:0024befffe804ff2", "urn:dev:ops:32473-ACMEEdgeGateway7-SN-42"],
    publicKey: key.publicKey,
    auditKey: AUDIT_KEY,
    protection: "file",
  });
});

test("[ID-5] without an enterprise number there is no urn:dev:ops; a serial that X.509 cannot hold is left out", (t) => {
  const odd = { ...IDENTITY, boardSerial: "S/N_42#" };
  const request = describeRequest(odd, memoryKey(), { auditKey: undefined, enterpriseNumber: undefined });
  t.same(request.uris, ["urn:dev:mac:0024befffe804ff1", "urn:dev:mac:0024befffe804ff2"]);
  t.equal(request.serialNumber, undefined);
  t.end();
});
