// Sessions: who listens between learns no secret, who changes something is found out, and nothing
// stays in a slot.
import { createHash } from "node:crypto";
import { type Test, test } from "tap";
import {
  ALG,
  create,
  createPrimary,
  FIRST_HANDLE,
  getRandom,
  HANDLE,
  handlesFrom,
  hierarchyChangeAuth,
  load,
  nvDefineSpace,
  nvRead,
  nvReadPublic,
  nvWrite,
  NV,
  RSA_STORAGE_TEMPLATE,
  sealTemplate,
  sign,
  SIGNING_TEMPLATE,
  startSession,
  STORAGE_TEMPLATE,
  Tpm,
  unseal,
  connectSimulator,
} from "../../../../hal/linux/tpm/index.ts";
import type { TpmTransport } from "../../../../hal/linux/tpm/transport.ts";
import { openTpm, startSwtpm } from "../../../lab/counterparts/swtpm.ts";
import { needs } from "../../../lab/runner/needs.ts";

const skip = needs("swtpm");
const SECRET = Buffer.from("the secret of this board");
const PASSWORD = Buffer.from("a password");
const DIGEST = createHash("sha256").update("words").digest();

/** Between us and the TPM: it hears everything and may change a response. */
class Tap implements TpmTransport {
  readonly #transport: TpmTransport;
  readonly heard: Buffer[] = [];
  change: (response: Uint8Array) => Uint8Array = (response) => response;

  constructor(transport: TpmTransport) {
    this.#transport = transport;
  }

  async exchange(command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const response = await this.#transport.exchange(command, timeoutMs);
    this.heard.push(Buffer.from(command), Buffer.from(response));
    const changed = this.change(response);
    this.change = (response) => response;
    return changed;
  }

  hears(bytes: Uint8Array): boolean {
    return this.heard.some((message) => message.includes(bytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }
}

async function tapped(t: Test): Promise<{ readonly tap: Tap; readonly tpm: Tpm }> {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  const tap = new Tap(await connectSimulator({ port: chip.port }));
  const tpm = new Tpm(tap);
  t.teardown(() => tpm[Symbol.asyncDispose]());
  return { tap, tpm };
}

/** What lies in slots: objects and sessions. */
async function slots(tpm: Tpm): Promise<readonly number[]> {
  const kinds = [FIRST_HANDLE.transient, FIRST_HANDLE.loadedSession];
  return (await Promise.all(kinds.map((kind) => handlesFrom(tpm, kind)))).flat();
}

/** Flips a bit of the byte at `at`, counted from the end when negative. */
const flipped =
  (at: number) =>
  (response: Uint8Array): Uint8Array => {
    const changed = new Uint8Array(response);
    const index = at < 0 ? changed.length + at : at;
    changed[index] = (changed[index] ?? 0) ^ 1;
    return changed;
  };

test("sealed data, its password and what is unsealed are encrypted by a salted session", { skip }, async (t) => {
  const { tap, tpm } = await tapped(t);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await using session = await startSession(tpm, "hmac", root);
  const blob = await create(tpm, root, sealTemplate(), { data: SECRET, password: PASSWORD, cover: session });
  await using item = await load(tpm, root, blob);
  const byHmac = { kind: "hmac", session, auth: PASSWORD } as const;
  t.same(Buffer.from(await unseal(tpm, item, byHmac)), SECRET);
  t.same(Buffer.from(await unseal(tpm, item, byHmac)), SECRET, "the nonces roll");
  t.notOk(tap.hears(SECRET) || tap.hears(PASSWORD), "neither was on the way");
  await using unsalted = await startSession(tpm, "hmac");
  t.same(Buffer.from(await unseal(tpm, item, { ...byHmac, session: unsalted }, session)), SECRET, "one proves, one covers");
  t.notOk(tap.hears(SECRET) || tap.hears(PASSWORD));
  t.same(Buffer.from(await unseal(tpm, item, { kind: "password", auth: PASSWORD })), SECRET);
  t.ok(tap.hears(SECRET) && tap.hears(PASSWORD), "without a session both are heard: the ear works");
});

test("a new password of a hierarchy is encrypted, and proven by the old and the new one", { skip }, async (t) => {
  const { tap, tpm } = await tapped(t);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await using session = await startSession(tpm, "hmac", root);
  const by = (auth: Uint8Array) => ({ kind: "hmac", session, auth }) as const;
  await hierarchyChangeAuth(tpm, HANDLE.owner, PASSWORD, by(new Uint8Array()));
  await hierarchyChangeAuth(tpm, HANDLE.owner, Buffer.from("zeros at the end\0\0"), by(PASSWORD));
  await t.rejects(hierarchyChangeAuth(tpm, HANDLE.owner, PASSWORD, by(PASSWORD)), { code: "tpm.auth-failed" });
  await hierarchyChangeAuth(tpm, HANDLE.owner, new Uint8Array(), by(Buffer.from("zeros at the end")));
  t.notOk(tap.hears(PASSWORD) || tap.hears(Buffer.from("zeros at")));
});

test("[ID-75] a session is salted to storage roots of every kind that others may have made", { skip }, async (t) => {
  const { tpm } = await tapped(t);
  for (const template of [STORAGE_TEMPLATE, RSA_STORAGE_TEMPLATE])
    for (const nameAlg of [ALG.sha256, ALG.sha384]) {
      await using root = await createPrimary(tpm, HANDLE.owner, { ...template, nameAlg });
      await using session = await startSession(tpm, "hmac", root);
      t.equal((await getRandom(tpm, 16, session)).length, 16, `${template.type}, Name ${nameAlg}`);
    }
  await using sealed = await (async () => {
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    return await load(tpm, root, await create(tpm, root, sealTemplate(), { data: SECRET }));
  })();
  await t.rejects(startSession(tpm, "hmac", sealed), { code: "tpm.invalid", message: /not to an object of type "keyed-hash"/ });
});

test("an index is written and read under cover of a session", { skip }, async (t) => {
  const { tap, tpm } = await tapped(t);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await using session = await startSession(tpm, "hmac", root);
  const area = {
    index: 0x0180_0001,
    attributes: NV.authRead | NV.authWrite | NV.noDa,
    authPolicy: new Uint8Array(),
    bytes: SECRET.length,
  };
  await nvDefineSpace(tpm, area, { password: PASSWORD, cover: session });
  const by = { kind: "hmac", session, auth: PASSWORD } as const;
  await nvWrite(tpm, await nvReadPublic(tpm, area.index), SECRET, "index", by);
  t.same(Buffer.from(await nvRead(tpm, await nvReadPublic(tpm, area.index), "index", by)), SECRET);
  t.notOk(tap.hears(SECRET) || tap.hears(PASSWORD));
});

test("[ID-44] a response that was changed on the way is refused before it is used, and ends its session", { skip }, async (t) => {
  const { tap, tpm } = await tapped(t);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  for (const [what, at] of [
    ["a parameter", 16],
    ["the HMAC", -1],
    ["the nonce", -60],
  ] as const) {
    await using session = await startSession(tpm, "hmac", root);
    t.ok(await getRandom(tpm, 16, session));
    tap.change = flipped(at);
    await t.rejects(getRandom(tpm, 16, session), { code: "tpm.tampered" }, what);
    await t.rejects(getRandom(tpm, 16, session), { code: "tpm.missing", message: /begin a new one/ }, what);
  }
});

test("[ID-44] a response without its authorization is refused", { skip }, async (t) => {
  const { tap, tpm } = await tapped(t);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await using session = await startSession(tpm, "hmac", root);
  tap.change = () => Buffer.from("8001000000100000000000040002beef".slice(0, 20) + "0004beefbeef", "hex");
  await t.rejects(getRandom(tpm, 4, session), { code: "tpm.protocol", message: /tag/ });
});

test(
  "[ID-43] what a refused response loaded is flushed: wrong HMAC, wrong Name, bytes too many or too few",
  { skip },
  async (t) => {
    const { tap, tpm } = await tapped(t);
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    const blob = await create(tpm, root, SIGNING_TEMPLATE);
    await using session = await startSession(tpm, "hmac", root);
    const before = await slots(tpm);
    t.equal(before.length, 2);
    const auth = { kind: "hmac", session, auth: new Uint8Array() } as const;
    tap.change = flipped(-1);
    await t.rejects(load(tpm, root, blob, auth), { code: "tpm.tampered" });
    tap.change = flipped(24);
    await t.rejects(load(tpm, root, blob), { code: "tpm.protocol", message: /a Name that is not the one of the public area/ });
    tap.change = (response) => response.subarray(0, 20);
    await t.rejects(load(tpm, root, blob), { code: "tpm.protocol" });
    tap.change = flipped(0);
    await t.rejects(createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE), { code: "tpm.protocol" });
    tap.change = (response) => response.subarray(0, 16);
    await t.rejects(startSession(tpm, "policy", root), { code: "tpm.protocol" });
    t.same(await slots(tpm), before);
  },
);

test("[ID-43] after many sequences that fail in the middle no slot is taken", { skip }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  await using tpm = await openTpm(chip);
  const attempt = async (round: number): Promise<void> => {
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    await using session = await startSession(tpm, "hmac", root);
    await using key = await load(tpm, root, await create(tpm, root, SIGNING_TEMPLATE));
    if (round % 3 === 0) await load(tpm, root, { area: key.area, privateBlob: new Uint8Array(8) });
    if (round % 3 === 1) await sign(tpm, key, DIGEST, { kind: "hmac", session, auth: PASSWORD });
    await sign(tpm, key, DIGEST.subarray(1));
  };
  for (let round = 0; round < 12; round += 1) await t.rejects(attempt(round), { name: "Fault", code: /^tpm\./ });
  t.same(await slots(tpm), []);
});

test("[ID-43] a flush that fails closes the way to the TPM, and hides no fault", { skip }, async (t) => {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  await using tpm = await openTpm(chip);
  const attempt = async (): Promise<void> => {
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    await chip.cut();
    await sign(tpm, root, DIGEST, undefined, ALG.sha256);
  };
  await t.rejects(attempt(), { name: "Fault", code: "tpm.unreachable" });
});
