// Known answers for whole commands: what tpm2-tools sent to a TPM is what we send, byte for byte,
// with its HMACs, and what the TPM answered is what we read.
import { verify } from "node:crypto";
import { test } from "tap";
import * as v from "valibot";
import { ALG, HANDLE, p1363, publicKeyObject, readAttestation, Tpm } from "../../../../hal/linux/tpm/index.ts";
import { COMMAND } from "../../../../hal/linux/tpm/constants.ts";
import { readSignature, type TpmSignature } from "../../../../hal/linux/tpm/structures.ts";
import { blobOf, CALLED, callOf, EXCHANGES, readerOf } from "../../../lab/worlds/tpm2-exchanges.ts";

/** TPM2_StartAuthSession has a new nonce each time: its digits, after header and two handles. */
const NONCE = [2 * (10 + 8 + 2), 2 * (10 + 8 + 2 + 32)] as const;
/** What is said in another way, with the same meaning. Sizes and HMACs follow. */
const OTHERWISE: Readonly<Record<string, readonly [theirs: RegExp, ours: string]>> = {
  // A password's continueSession, which the tools clear. (Part 1, Password authorizations)
  pcrExtend: [/40000009000000/u, "40000009000001"],
  // A policy session with a cipher, which only a salted one uses.
  policySession: [/^80010000003b(.*)0010000b$/u, "80010000003f$1000600800043000b"],
  trialSession: [/^80010000003b(.*)0010000b$/u, "80010000003f$1000600800043000b"],
  // The scheme of the key, by its name or by "null". Parameters alone are compared.
  quote: [/^.*(000400112233)0018000b(.*)$/u, "$10010$2"],
  certify: [/^.*(000400ff55aa)0018000b$/u, "$10010"],
};

const bytesSchema = v.pipe(
  v.instance(Uint8Array),
  v.transform((bytes) => Buffer.from(bytes)),
);

/** Plays the TPM for one command. */
async function replay(name: string): Promise<{ readonly answer: unknown; readonly sent: string }> {
  let sent = "";
  const tpm = new Tpm({
    exchange: (bytes) => {
      sent = Buffer.from(bytes).toString("hex");
      return Promise.resolve(new Uint8Array(Buffer.from(EXCHANGES[name]?.response ?? "", "hex")));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  return { answer: await callOf(name, tpm, "hmac").catch((error: unknown) => error), sent };
}

const withoutNonce = (command: string): string =>
  command.slice(12, 20) === "00000176" ? command.slice(0, NONCE[0]) + command.slice(NONCE[1]) : command;

test("every command is sent as tpm2-tools send it, byte for byte, and its answer is read", async (t) => {
  for (const name of CALLED) {
    const { tool, command } = EXCHANGES[name] ?? { tool: "", command: "" };
    const [theirs, ours] = OTHERWISE[name] ?? [/^$/u, ""];
    const expected = withoutNonce(command.replace(theirs, ours));
    const { sent, answer } = await replay(name);
    t.equal(withoutNonce(sent).slice(-expected.length), expected, tool);
    if (name === "startup") t.match(answer, { code: "tpm.not-ready", message: /0x100 \(TPM_RC_INITIALIZE\)/ });
    else t.notOk(answer instanceof Error, `the answer to ${tool}`);
  }
});

test("each command of this layer has a recorded exchange", async (t) => {
  const recorded = new Set(CALLED.map((name) => Number.parseInt(EXCHANGES[name]?.command.slice(12, 20) ?? "", 16)));
  t.same(
    Object.entries(COMMAND).filter(([, code]) => !recorded.has(code)),
    [],
  );
});

/** A signature that the TPM made over `data`, checked with the key that `maker` made. */
function isSigned(maker: string, data: Uint8Array, signature: TpmSignature): boolean {
  const key = { key: publicKeyObject(blobOf(maker).area), dsaEncoding: "ieee-p1363" } as const;
  return verify("sha256", data, key, p1363(signature));
}

test("what the TPM answered to tpm2-tools is read as they show it", async (t) => {
  const answer = async (name: string): Promise<unknown> => (await replay(name)).answer;
  const text = async (name: string): Promise<string> => v.parse(bytesSchema, await answer(name)).toString();
  t.equal(await text("unseal"), "secret");
  t.equal(await text("nvRead"), "secret");
  t.equal(await text("activateCredential"), "0123456789");
  t.match(await answer("handles"), { more: false, data: { kind: "handles", items: [0x8100_0001] } });
  t.match(await answer("pcrRead"), { selections: [{ hash: ALG.sha256, registers: [0, 7, 10] }], values: { length: 3 } });
  t.match(await answer("nvReadPublic"), { area: { index: 0x0180_0001, bytes: 6, attributes: 0x2204_0004 } });
  t.match(await answer("createRsaPrimary"), { area: { type: "rsa", keyBits: 2048, exponent: 0 } });
  t.match(await answer("verifySignature"), { tag: 0x8022, hierarchy: HANDLE.owner });
});

test("what the TPM signed for tpm2-tools is a signature over what we read", async (t) => {
  const signature = readSignature(readerOf("sign", "response", 14));
  t.ok(isSigned("create", Buffer.from("words"), signature));
  for (const [name, kind] of [
    ["quote", "quote"],
    ["certify", "certify"],
  ] as const) {
    const reader = readerOf(name, "response", 14);
    const message = reader.sized();
    t.ok(isSigned("createAttester", message, readSignature(reader)), name);
    t.equal(readAttestation(message).attested.kind, kind);
  }
});
