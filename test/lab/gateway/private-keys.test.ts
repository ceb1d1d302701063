// The search for private keys finds them in every form and place on a disk; otherwise it would
// prove nothing when it finds none.
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { privateKeysIn } from "./private-keys.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
/** Of what is read at once. */
const EDGE = 64 * KIBIBYTE;
const TSS2 = "-----BEGIN TSS2 PRIVATE KEY-----\nMIHwBgZngQUKAQOgAwEBAQ==\n-----END TSS2 PRIVATE KEY-----\n";

const KEYS: readonly (readonly [name: string, kind: string, key: KeyObject])[] = [
  ["P-256", "ec", generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey],
  ["P-384", "ec", generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey],
  ["P-521", "ec", generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey],
  ["RSA 1024", "rsa", generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey],
  ["RSA 2048", "rsa", generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey],
  ["Ed25519", "ed25519", generateKeyPairSync("ed25519").privateKey],
  ["X25519", "x25519", generateKeyPairSync("x25519").privateKey],
  ["Ed448", "ed448", generateKeyPairSync("ed448").privateKey],
];

interface Laid {
  readonly what: string;
  readonly form: "der" | "base64" | "jwk";
  readonly kind: string;
  readonly bytes: Buffer;
}

const DER: Readonly<Record<string, readonly ((key: KeyObject) => Buffer)[]>> = {
  ec: [(key) => key.export({ type: "pkcs8", format: "der" }), (key) => key.export({ type: "sec1", format: "der" })],
  rsa: [(key) => key.export({ type: "pkcs8", format: "der" }), (key) => key.export({ type: "pkcs1", format: "der" })],
};

/** Each key in each form that is not PEM. */
function formsOf([name, kind, key]: (typeof KEYS)[number]): readonly Laid[] {
  const laid = (what: string, form: Laid["form"], bytes: string | Buffer): Laid => ({
    what: `${name}, ${what}`,
    form,
    kind,
    bytes: Buffer.from(bytes),
  });
  const fields = { use: "sig", ...key.export({ format: "jwk" }), key_ops: ["sign"] };
  const jwk = JSON.stringify(fields);
  const ders = (DER[kind] ?? [(each) => each.export({ type: "pkcs8", format: "der" })]).map((export_) => export_(key));
  return [
    laid("JWK", "jwk", jwk),
    laid("JWK within JSON", "jwk", JSON.stringify(jwk).slice(1, -1)),
    laid("JWK in lines", "jwk", JSON.stringify(fields, undefined, 2)),
    ...ders.flatMap((der, n) => {
      const lines = der.toString("base64").replaceAll(/.{64}/gu, "$&\n");
      return [
        laid(`DER ${n}`, "der", der),
        laid(`base64 ${n}`, "base64", der.toString("base64")),
        laid(`base64url ${n}`, "base64", der.toString("base64url")),
        laid(`base64 ${n} in lines`, "base64", lines),
        laid(`base64 ${n} in lines that end as on Windows`, "base64", lines.replaceAll("\n", "\r\n")),
        laid(`base64 ${n} in lines within JSON`, "base64", JSON.stringify(lines).slice(1, -1)),
      ];
    }),
  ];
}

async function laidOut(file: string, bytes: number, things: readonly (readonly [number, string | Uint8Array])[]): Promise<void> {
  await using handle = await open(file, "w");
  await handle.truncate(bytes);
  for (const [offset, thing] of things) await handle.write(Buffer.from(thing), 0, thing.length, offset);
}

test("[ID-4] a private key without PEM is found in every form, across the edge of what is read at once", async (t) => {
  const at = join(await temporaryDirectory(t), "disk");
  for (const laid of KEYS.flatMap(formsOf)) {
    // The beginning of a key lies before the edge, once with its middle, once with its end.
    for (const before of [3, laid.bytes.length >> 1, laid.bytes.length - 3]) {
      await laidOut(at, 2 * EDGE, [[EDGE - before, laid.bytes]]);
      const wanted = { offset: EDGE - before, form: laid.form, kind: laid.kind };
      // The first: within an RSA key's PKCS#8 there is another one.
      const [found] = await privateKeysIn(at, EDGE);
      t.strictSame(found, wanted, `${laid.what}, ${before} bytes before the edge`);
    }
  }
});

test("[ID-4] a private key as PEM is found with its kind; one that cannot be read is found too", async (t) => {
  const at = join(await temporaryDirectory(t), "disk");
  const [, , key] = KEYS[0] ?? [];
  const pkcs8 = String(key?.export({ type: "pkcs8", format: "pem" }));
  const sec1 = String(key?.export({ type: "sec1", format: "pem" }));
  const encrypted = String(key?.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "correct horse" }));
  await laidOut(at, 4 * EDGE, [
    [17, TSS2],
    [1000, pkcs8],
    [EDGE - 5, sec1.replaceAll("\n", "\r\n")],
    [2 * EDGE - 10, pkcs8.slice(0, 60)],
    [3 * EDGE - 20, encrypted],
  ]);
  const pems = (await privateKeysIn(at, EDGE))
    .filter(({ form }) => form === "pem")
    .map(({ offset, kind }) => `${offset} ${kind}`);
  t.strictSame(pems, ["17 tss2", "1000 ec", `${EDGE - 5} ec`, `${2 * EDGE - 10} unreadable`, `${3 * EDGE - 20} unreadable`]);
});

test("a key that begins within a false beginning is found", async (t) => {
  const at = join(await temporaryDirectory(t), "disk");
  const der = KEYS[0]?.[2].export({ type: "pkcs8", format: "der" }) ?? Buffer.alloc(0);
  await laidOut(at, EDGE, [[5, Buffer.concat([Buffer.from("308230", "hex"), der])]]);
  t.strictSame(await privateKeysIn(at, EDGE), [{ offset: 8, form: "der", kind: "ec" }]);
});

test("nothing else is taken for a private key", async (t) => {
  const at = join(await temporaryDirectory(t), "disk");
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = JSON.stringify({ ...publicKey.export({ format: "jwk" }), key_ops: ["verify"] });
  /** The beginning of a key, followed by something else. */
  const begun = [
    "302e020100300506032b6570",
    "30770201010420",
    "308204a40201000282",
    "308187020100301306072a86",
    "308204be020100300d",
  ]
    .map((hex) => Buffer.concat([Buffer.from(hex, "hex"), randomBytes(1300)]))
    .flatMap((bytes) => [bytes, Buffer.from(bytes.toString("base64"))]);
  const edge = 32 * MEBIBYTE;
  await laidOut(at, edge + EDGE, [
    [0, randomBytes(edge)],
    [edge, publicKey.export({ type: "spki", format: "der" })],
    [edge + 1000, publicKey.export({ type: "spki", format: "pem" })],
    [edge + 2000, `${jwk} {"d": "AQAB"} "d":"AQAB" {"d":"${"A".repeat(43)}","kty":"EC"} {"d":1}`],
    ...begun.map((bytes, n) => [edge + 5000 * (n + 1), bytes] as const),
  ]);
  t.strictSame(await privateKeysIn(at), []);
});
