// A TPM that sends anything: each command ends with a value or a fault, soon, and small.
import fc from "fast-check";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import {
  ALG,
  certify,
  create,
  createPrimary,
  getCapability,
  getRandom,
  HANDLE,
  handlesFrom,
  load,
  nvRead,
  nvReadPublic,
  pcrRead,
  permanent,
  policyGetDigest,
  policySecret,
  quote,
  readAttestation,
  readPublicOf,
  readTss2Pem,
  sign,
  SIGNING_TEMPLATE,
  startSession,
  STORAGE_TEMPLATE,
  Tpm,
  unseal,
  writeTss2Pem,
} from "../../../../hal/linux/tpm/index.ts";
import { readCapabilityData } from "../../../../hal/linux/tpm/chip.ts";
import { readNvPublic } from "../../../../hal/linux/tpm/nv.ts";
import { TpmSession } from "../../../../hal/linux/tpm/session.ts";
import { readSignature, readSizedPublic } from "../../../../hal/linux/tpm/structures.ts";
import type { TpmTransport } from "../../../../hal/linux/tpm/transport.ts";
import { join, u16, u32, WireReader } from "../../../../hal/linux/tpm/wire.ts";
import { isLongRun } from "../../../lab/runner/long-run.ts";

const EMPTY = new Uint8Array();
const KEY = permanent(0x8000_0000);
const AREA = { ...SIGNING_TEMPLATE };
const INDEX = { handle: 0x0180_0001, name: EMPTY, area: { index: 0x0180_0001, attributes: 0, authPolicy: EMPTY, bytes: 40 } };
const session = (): TpmSession =>
  new TpmSession({
    ...permanent(0x0200_0000),
    sessionKey: Buffer.from("key"),
    nonceTpm: new Uint8Array(32),
    release: () => Promise.resolve(),
  });

const COMMANDS: readonly ((tpm: Tpm) => Promise<unknown>)[] = [
  (tpm) => getRandom(tpm, 40),
  (tpm) => getRandom(tpm, 40, session()),
  (tpm) => getCapability(tpm, "algorithms", 0),
  (tpm) => handlesFrom(tpm, 0x8000_0000),
  (tpm) => createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE),
  (tpm) => create(tpm, KEY, SIGNING_TEMPLATE, { cover: session() }),
  (tpm) => load(tpm, KEY, { area: AREA, privateBlob: EMPTY }),
  (tpm) => readPublicOf(tpm, 0x8100_0001),
  (tpm) => sign(tpm, KEY, new Uint8Array(32)),
  (tpm) => unseal(tpm, KEY, { kind: "hmac", session: session(), auth: EMPTY }),
  (tpm) => quote(tpm, KEY, EMPTY, [{ hash: ALG.sha256, registers: [0] }]),
  (tpm) => certify(tpm, { object: KEY, key: KEY }, EMPTY),
  (tpm) => pcrRead(tpm, [{ hash: ALG.sha256, registers: [0] }]),
  (tpm) => startSession(tpm, "policy"),
  (tpm) => policySecret(tpm, session(), permanent(HANDLE.owner)),
  (tpm) => policyGetDigest(tpm, session()),
  (tpm) => nvReadPublic(tpm, INDEX.handle),
  (tpm) => nvRead(tpm, INDEX, "index"),
];

/** Answers the first `answers` commands with them, and every later one with success. */
function answering(answers: readonly Uint8Array[]): TpmTransport {
  const left = [...answers];
  return {
    exchange: () => Promise.resolve(left.shift() ?? new Uint8Array(Buffer.from("80010000000a00000000", "hex"))),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A response as a transport lets it through: header and size are right, the rest is not. */
const response = fc
  .tuple(
    fc.constantFrom(0x8001, 0x8002, 0x00c4),
    fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.constantFrom(0x922, 0x921, 0x902), fc.nat(0xffff_ffff)),
    fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      // Sizes and counts that lie lead further into the parsers than random bytes.
      fc
        .array(fc.oneof(fc.constantFrom(0, 1, 2, 4, 8, 11, 16, 24, 32, 35, 64, 0xffff), fc.nat(0xffff)), { maxLength: 100 })
        .map((words) => join(...words.map(u16))),
    ),
  )
  .map(([tag, code, body]) => join(u16(tag), u32(10 + body.length), u32(code), body));

test("[ID-43] any response ends each command with a value or a fault", async (t) => {
  const property = fc.asyncProperty(
    fc.nat(COMMANDS.length - 1),
    fc.array(response, { minLength: 1, maxLength: 3 }),
    async (at, answers) => {
      const run = COMMANDS[at];
      if (run === undefined) return;
      try {
        await run(new Tpm(answering(answers), { retriesMax: 1 }));
      } catch (error) {
        if (!(error instanceof Fault) || error.code.startsWith("assert.")) throw error;
      }
    },
  );
  await fc.assert(property, { numRuns: isLongRun() ? 6000 : 1500 });
  t.pass();
});

const PARSERS: readonly ((reader: WireReader) => unknown)[] = [
  readSizedPublic,
  readSignature,
  readCapabilityData,
  readNvPublic,
  (reader) => readAttestation(reader.rest()),
];

test("any bytes are read as a structure or refused with a fault, and nothing large is made of them", async (t) => {
  const property = fc.property(fc.nat(PARSERS.length - 1), fc.uint8Array({ maxLength: 300 }), (at, content) => {
    try {
      PARSERS[at]?.(new WireReader(content, "fuzz"));
    } catch (error) {
      return error instanceof Fault && error.code === "tpm.protocol";
    }
    return true;
  });
  fc.assert(property, { numRuns: isLongRun() ? 20_000 : 4000 });
  t.pass();
});

test("a TSS2 key with any byte changed is read or refused with a fault", async (t) => {
  const pem = writeTss2Pem({ area: AREA, privateBlob: new Uint8Array(126), parent: HANDLE.owner, hasNoPassword: true });
  const [begin = "", ...rest] = pem.split("\n");
  const der = Buffer.from(rest.slice(0, -2).join(""), "base64");
  const property = fc.property(fc.nat(der.length - 1), fc.nat(255), fc.nat(der.length), (at, value, length) => {
    const changed = Buffer.from(der);
    changed[at] = value;
    const text = [begin, changed.subarray(0, length === 0 ? der.length : length).toString("base64"), ...rest.slice(-2)].join(
      "\n",
    );
    try {
      readTss2Pem(text);
    } catch (error) {
      return error instanceof Fault && (error.code === "tpm.protocol" || error.code === "tpm.invalid");
    }
    return true;
  });
  fc.assert(property, { numRuns: isLongRun() ? 10_000 : 2000 });
  for (const text of ["", begin, `${begin}\n${rest.at(-2)}\n`, `${begin}\n!\n${rest.at(-2)}\n`, "x".repeat(10_000)])
    t.throws(() => readTss2Pem(text), { code: "tpm.protocol" });
});
