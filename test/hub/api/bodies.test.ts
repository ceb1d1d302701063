// Bad requests over HTTPS: other encodings, other types, garbage, and too many bytes.
import { test } from "tap";
import { ask, EST, labDevice, labHub, simpleEnrol } from "../../lab/worlds/hub.ts";
import { decodeCertsOnly } from "../../../provisioning/x509/format/index.ts";

test("[ID-7] base64 with line breaks and spaces is accepted (RFC 8951 section 3.1)", async (t) => {
  const { hub } = await labHub(t);
  const { csr } = await labDevice("gw-1");
  const wrapped = Buffer.from(csr).toString("base64").replaceAll(/.{60}/g, "$&\r\n  ");
  t.equal((await ask(hub, `${EST}/simpleenroll`, { type: "application/pkcs10", body: `${wrapped}\n\n` })).status, 202);
  const marked = await ask(hub, `${EST}/simpleenroll`, { type: "application/pkcs10", body: `\ufeff${wrapped}` });
  t.equal(marked.status, 202, "[ID-32] a byte order mark is skipped");
});

test("a malformed request is refused with a status and a text that says what was expected", async (t) => {
  const { hub } = await labHub(t);
  const { csr } = await labDevice("gw-1");
  const post = async (body: string | Uint8Array, type = "application/pkcs10") => {
    const answer = await ask(hub, `${EST}/simpleenroll`, { type, body });
    t.match(answer.headers["content-type"], /^text\/plain/);
    t.match(answer.body.toString(), /\n$/);
    return [answer.status, answer.body.toString()];
  };
  const base64 = Buffer.from(csr).toString("base64");
  t.match(await post("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"), [
    400,
    /openssl req -outform DER \| base64/,
  ]);
  t.match(await post(csr), [400, /not base64/]);
  t.match(await post("!!!!"), [400, /not base64/]);
  t.match(await post(base64.slice(0, 400)), [400, /^csr\.invalid/], "truncated");
  const flipped = Buffer.from(csr);
  flipped[40] = (flipped[40] ?? 0) ^ 1;
  t.match(await post(flipped.toString("base64")), [400, /^csr\.invalid/], "one bit changed");
  t.match(await post("A".repeat(20_000)), [413, /more than 16384 bytes/]);
  t.match(await post(base64, "text/xml"), [415, /application\/pkcs10/]);
  t.equal((await ask(hub, "/nowhere")).status, 404);
  t.equal((await ask(hub, `${EST}/simpleenroll`)).status, 404, "GET instead of POST");
  t.equal((await simpleEnrol(hub, csr)).status, 202, "and the hub keeps working");
});

test("[ID-7] /cacerts returns the pinned authority, /csrattrs the required form of a request, /healthz that the hub runs", async (t) => {
  const { hub } = await labHub(t);
  const cacerts = await ask(hub, `${EST}/cacerts`);
  t.match(cacerts.headers["content-type"], /^application\/pkcs7-mime/);
  const [authority, ...others] = decodeCertsOnly(Buffer.from(cacerts.body.toString(), "base64"));
  t.equal(others.length, 0);
  t.equal(Buffer.from(authority ?? []).toString("base64"), hub.anchors.authority.replaceAll(/-----[A-Z ]+-----|\n/g, ""));
  const csrattrs = await ask(hub, `${EST}/csrattrs`);
  t.equal(csrattrs.headers["content-type"], "application/csrattrs");
  // SEQUENCE { SEQUENCE { id-ecPublicKey, SET { prime256v1 } }, ecdsa-with-SHA256 }
  t.equal(
    Buffer.from(csrattrs.body.toString(), "base64").toString("hex"),
    "3021301506072a8648ce3d0201310a06082a8648ce3d03010706082a8648ce3d040302",
  );
  t.equal((await ask(hub, "/healthz")).body.toString(), "ok\n");
});
