// What tpm2-tools and a TPM said to each other, and the call of our own that says the same.
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { assert } from "../../../hal/fault.ts";
import {
  activateCredential,
  ALG,
  ATTESTATION_TEMPLATE,
  certify,
  clearControl,
  create,
  createPrimary,
  dictionaryAttackLockReset,
  dictionaryAttackParameters,
  evictControl,
  getCapability,
  getRandom,
  HANDLE,
  hierarchyChangeAuth,
  load,
  loadExternal,
  nameOf,
  NO_PASSWORD,
  NV,
  nvDefineSpace,
  nvIncrement,
  nvRead,
  nvReadPublic,
  nvUndefineSpace,
  nvWrite,
  pcrExtend,
  pcrRead,
  permanent,
  policyAuthorize,
  policyGetDigest,
  policyPcr,
  policySecret,
  quote,
  readPublicOf,
  RSA_STORAGE_TEMPLATE,
  sealTemplate,
  selfTest,
  shutdown,
  sign,
  SIGNING_TEMPLATE,
  startSession,
  startup,
  STORAGE_TEMPLATE,
  type Tpm,
  unseal,
  verifySignature,
} from "../../../hal/linux/tpm/index.ts";
import { nvName, type NvPublic } from "../../../hal/linux/tpm/nv.ts";
import type { KeyBlob } from "../../../hal/linux/tpm/objects.ts";
import { type Authorization, type TpmEntity, TpmSession } from "../../../hal/linux/tpm/session.ts";
import { readSignature, readSizedPublic } from "../../../hal/linux/tpm/structures.ts";
import { WireReader } from "../../../hal/linux/tpm/wire.ts";

const exchangeSchema = v.strictObject({
  tool: v.string(),
  sessions: v.optional(v.array(v.strictObject({ handle: v.number(), nonceCaller: v.string(), nonceTpm: v.string() })), []),
  command: v.string(),
  response: v.string(),
});

/** One command of a tool and its response, in hexadecimal digits. */
export type Exchange = v.InferOutput<typeof exchangeSchema>;

/** By name of the command, or of what it is for. */
export const EXCHANGES: Readonly<Record<string, Exchange>> = v.parse(
  v.object({ exchanges: v.record(v.string(), exchangeSchema) }),
  JSON.parse(readFileSync(new URL("../../vectors/tpm2-exchanges.json", import.meta.url), "utf8")),
).exchanges;

/** How a call of {@link callOf} proves its passwords: as the tools do, or in clear. */
export type Proof = "hmac" | "password";

const EMPTY = new Uint8Array();
const PASSWORD = Buffer.from("pw");
const HEADER_BYTES = 10;

function exchangeOf(name: string): Exchange {
  const found = EXCHANGES[name];
  assert(found !== undefined, `an exchange "${name}" was recorded`);
  return found;
}

/** Reads a recorded message, after `skip` bytes. */
export function readerOf(name: string, message: "command" | "response", skip: number): WireReader {
  return new WireReader(new Uint8Array(Buffer.from(exchangeOf(name)[message], "hex").subarray(skip)), name);
}

/** The parameters of a command that had sessions: after handles and authorizations. */
export function parametersOf(name: string, handles: number): WireReader {
  const reader = readerOf(name, "command", HEADER_BYTES + 4 * handles);
  reader.bytes(reader.u32());
  return reader;
}

const handleIn = (name: string, at = 0): number => readerOf(name, "command", HEADER_BYTES + 4 * at).u32();

/** What a tool made with TPM2_Create. */
export function blobOf(name: string): KeyBlob {
  const reader = readerOf(name, "response", HEADER_BYTES + 4);
  const privateBlob = reader.sized();
  return { area: readSizedPublic(reader), privateBlob };
}

const rootArea = readSizedPublic(readerOf("createPrimary", "response", HEADER_BYTES + 8));
const endorsementArea = readSizedPublic(readerOf("endorsementKey", "response", HEADER_BYTES + 8));
const ROOT: TpmEntity = { handle: 0x8100_0001, name: nameOf(rootArea) };
const REGISTERS = [{ hash: ALG.sha256, registers: [0, 7, 10] }];
const COUNTER: NvPublic = {
  index: 0x0180_0002,
  attributes: NV.ownerRead | NV.ownerWrite | NV.counter,
  authPolicy: EMPTY,
  bytes: 8,
};
const INDEX: NvPublic = {
  index: 0x0180_0001,
  attributes: NV.authRead | NV.authWrite | NV.noDa,
  authPolicy: EMPTY,
  bytes: 6,
};
/** TPMA_NV_WRITTEN, which the first write sets. */
const WRITTEN = 0x2000_0000;

const key = (name: string, made = "create"): TpmEntity => ({ handle: handleIn(name), name: nameOf(blobOf(made).area) });
const indexOf = (area: NvPublic, written = 0): TpmEntity & { readonly area: NvPublic } => {
  const now = { ...area, attributes: area.attributes | written };
  return { handle: now.index, name: nvName(now), area: now };
};

function sessionOf(name: string, at = 0): TpmSession {
  const recorded = exchangeOf(name).sessions[at];
  assert(recorded !== undefined, `"${name}" had a session`);
  const { handle, nonceCaller, nonceTpm } = recorded;
  return new TpmSession({
    ...permanent(handle),
    sessionKey: new Uint8Array(),
    nonceTpm: Buffer.from(nonceTpm, "hex"),
    release: () => Promise.resolve(),
    newNonce: () => Buffer.from(nonceCaller, "hex"),
  });
}

/** A session that a command names by handle and that authorizes nothing there. */
const named = (name: string, at = 0): TpmSession =>
  new TpmSession({
    ...permanent(handleIn(name, at)),
    sessionKey: new Uint8Array(),
    nonceTpm: new Uint8Array(32),
    release: () => Promise.resolve(),
  });

/** Proves a password in the session that the tool used for it. */
type Prove = (password?: Uint8Array, at?: number) => Authorization;

const CALLS: Readonly<Record<string, (tpm: Tpm, by: Prove) => Promise<unknown>>> = {
  algorithms: (tpm) => getCapability(tpm, "algorithms", 1, 127),
  commands: (tpm) => getCapability(tpm, "commands", 0x11f, 256),
  properties: (tpm) => getCapability(tpm, "properties", 0x100, 127),
  variables: (tpm) => getCapability(tpm, "properties", 0x200, 127),
  handles: (tpm) => getCapability(tpm, "handles", 0x8100_0000, 254),
  random: (tpm) => getRandom(tpm, 8),
  selfTest,
  createPrimary: (tpm, by) => createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE, { auth: by() }),
  createRsaPrimary: (tpm, by) => createPrimary(tpm, HANDLE.owner, RSA_STORAGE_TEMPLATE, { auth: by() }),
  evictControl: (tpm, by) => evictControl(tpm, { ...ROOT, handle: handleIn("evictControl", 1) }, ROOT.handle, by()),
  readPublic: (tpm) => readPublicOf(tpm, ROOT.handle),
  create: (tpm, by) => create(tpm, ROOT, SIGNING_TEMPLATE, { auth: by(), password: PASSWORD }),
  createAttester: (tpm, by) => create(tpm, ROOT, ATTESTATION_TEMPLATE, { auth: by() }),
  seal: (tpm, by) => create(tpm, ROOT, sealTemplate(), { auth: by(), password: PASSWORD, data: Buffer.from("secret") }),
  load: (tpm, by) => load(tpm, ROOT, blobOf("create"), by()),
  loadExternal: (tpm) => loadExternal(tpm, blobOf("create").area),
  sign: (tpm, by) => sign(tpm, key("sign"), parametersOf("sign", 1).sized(), by(PASSWORD)),
  verifySignature: (tpm) => {
    const parameters = readerOf("verifySignature", "command", HEADER_BYTES + 4);
    return verifySignature(tpm, key("verifySignature"), parameters.sized(), readSignature(parameters));
  },
  unseal: (tpm, by) => unseal(tpm, key("unseal", "seal"), by(PASSWORD)),
  flushContext: (tpm) => tpm.release(readerOf("flushContext", "command", HEADER_BYTES).u32()),
  flushSession: (tpm) => tpm.release(readerOf("flushSession", "command", HEADER_BYTES).u32()),
  pcrRead: (tpm) => pcrRead(tpm, REGISTERS),
  pcrExtend: (tpm) => pcrExtend(tpm, 8, ALG.sha256, Buffer.from(exchangeOf("pcrExtend").command.slice(-64), "hex")),
  quote: (tpm, by) => quote(tpm, key("quote", "createAttester"), Buffer.from("00112233", "hex"), REGISTERS, by()),
  certify: (tpm, by) => {
    const signer = { handle: handleIn("certify", 1), name: nameOf(blobOf("createAttester").area) };
    return certify(tpm, { object: key("certify"), key: signer }, parametersOf("certify", 2).sized(), [
      by(PASSWORD),
      by(EMPTY, 1),
    ]);
  },
  activateCredential: (tpm, by) => {
    const reader = parametersOf("activateCredential", 2);
    const endorsement = { handle: handleIn("activateCredential", 1), name: nameOf(endorsementArea) };
    const policy = by(EMPTY, 1);
    return activateCredential(
      tpm,
      { object: key("activateCredential", "createAttester"), key: endorsement },
      { credential: reader.sized(), secret: reader.sized() },
      [by(), policy.kind === "hmac" ? { kind: "policy", session: policy.session } : policy],
    );
  },
  policySession: (tpm) => startSession(tpm, "policy"),
  trialSession: (tpm) => startSession(tpm, "trial"),
  hmacSession: (tpm) => startSession(tpm, "hmac"),
  policySecret: (tpm, by) => policySecret(tpm, named("policySecret", 1), permanent(HANDLE.endorsement), by()),
  policyGetDigest: (tpm) => policyGetDigest(tpm, named("policyGetDigest")),
  policyPcr: (tpm) =>
    policyPcr(tpm, named("policyPcr"), REGISTERS, new Uint8Array(readerOf("policyPcr", "command", HEADER_BYTES + 4).sized())),
  policyAuthorize: (tpm) => {
    const reader = readerOf("policyAuthorize", "command", HEADER_BYTES + 4);
    const [approved, , keyName] = [reader.sized(), reader.sized(), reader.sized()];
    const ticket = { tag: reader.u16(), hierarchy: reader.u32(), digest: reader.sized() };
    return policyAuthorize(tpm, named("policyAuthorize"), { approved, keyName, ticket });
  },
  nvDefineSpace: (tpm, by) => nvDefineSpace(tpm, INDEX, { password: PASSWORD, auth: by() }),
  nvWrite: (tpm, by) => nvWrite(tpm, indexOf(INDEX), Buffer.from("secret"), "index", by(PASSWORD)),
  nvReadPublic: (tpm) => nvReadPublic(tpm, INDEX.index),
  nvRead: (tpm, by) => nvRead(tpm, indexOf(INDEX, WRITTEN), "index", by(PASSWORD)),
  nvUndefineSpace: (tpm, by) => nvUndefineSpace(tpm, indexOf(INDEX, WRITTEN), by()),
  nvDefineCounter: (tpm, by) => nvDefineSpace(tpm, COUNTER, { auth: by() }),
  nvIncrement: (tpm, by) => nvIncrement(tpm, indexOf(COUNTER), "owner", by()),
  dictionaryAttackParameters: (tpm, by) =>
    dictionaryAttackParameters(tpm, { tries: 9, recoveryS: 60, lockoutRecoveryS: 61 }, by()),
  dictionaryAttackLockReset: (tpm, by) => dictionaryAttackLockReset(tpm, by()),
  clearControl: (tpm, by) => clearControl(tpm, true, by()),
  hierarchyChangeAuth: (tpm, by) => hierarchyChangeAuth(tpm, HANDLE.owner, Buffer.from("new"), by()),
  shutdown,
  startup,
};

/** The exchanges that one of our calls repeats. */
export const CALLED: readonly string[] = Object.keys(CALLS);

/** Runs the call that says what the tool said. */
export function callOf(name: string, tpm: Tpm, proof: Proof): Promise<unknown> {
  const call = CALLS[name];
  assert(call !== undefined, `a call for "${name}"`);
  return call(tpm, (auth = EMPTY, at = 0) => {
    if (proof === "password") return { ...NO_PASSWORD, auth };
    return { kind: "hmac", session: sessionOf(name, at), auth };
  });
}
