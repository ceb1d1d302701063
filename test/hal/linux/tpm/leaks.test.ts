// Whatever is done with a TPM, in any order, with refusals, changed responses and a way that is cut
// in the middle: in the end nothing is left in its slots. It has three.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { type Test, test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import {
  connectSimulator,
  create,
  createPrimary,
  FIRST_HANDLE,
  getRandom,
  HANDLE,
  handlesFrom,
  load,
  lockoutState,
  NO_PASSWORD,
  policySecret,
  permanent,
  sealTemplate,
  sign,
  SIGNING_TEMPLATE,
  startSession,
  STORAGE_TEMPLATE,
  Tpm,
  unseal,
} from "../../../../hal/linux/tpm/index.ts";
import type { KeyBlob, LoadedObject } from "../../../../hal/linux/tpm/objects.ts";
import type { TpmSession } from "../../../../hal/linux/tpm/session.ts";
import type { TpmTransport } from "../../../../hal/linux/tpm/transport.ts";
import { openTpm, startSwtpm, type Swtpm } from "../../../lab/counterparts/swtpm.ts";
import { isLongRun } from "../../../lab/runner/long-run.ts";
import { needs } from "../../../lab/runner/needs.ts";

const DIGEST = createHash("sha256").update("words").digest();
const WRONG = { kind: "password", auth: Buffer.from("wrong") } as const;
const HEADER_BYTES = 10;

/** What goes wrong with one command. */
const ACCIDENTS = ["a flipped bit", "a short answer", "cut before", "cut after"] as const;
type Accident = (typeof ACCIDENTS)[number];

/** A way to the TPM on which the n-th command meets with an accident. */
class Trouble implements TpmTransport {
  readonly #transport: TpmTransport;
  readonly #accidents: ReadonlyMap<number, Accident>;
  #commands = 0;
  /** Closed, by {@link Tpm} or by an accident: a kernel then flushes what this opening loaded. */
  isClosed = false;

  constructor(transport: TpmTransport, accidents: ReadonlyMap<number, Accident>) {
    this.#transport = transport;
    this.#accidents = accidents;
  }

  async exchange(command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    this.#commands += 1;
    const accident = this.#accidents.get(this.#commands);
    if (accident === "cut before") await this[Symbol.asyncDispose]();
    const response = await this.#transport.exchange(command, timeoutMs);
    if (accident === "cut after") {
      await this[Symbol.asyncDispose]();
      throw new Fault("tpm.unreachable", "the way was cut before the answer came");
    }
    if (accident === "a short answer") return response.subarray(0, Math.max(HEADER_BYTES, response.length - 3));
    const last = response.length - 1;
    return accident === "a flipped bit" && last > HEADER_BYTES ? response.with(last, (response[last] ?? 0) ^ 1) : response;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    await this.#transport[Symbol.asyncDispose]();
  }
}

const STEPS = [
  "root",
  "other root",
  "key",
  "sealed",
  "damaged",
  "session",
  "salted",
  "policy",
  "sign",
  "sign wrongly",
  "random",
] as const;
interface Step {
  readonly what: (typeof STEPS)[number];
  /** Its fault is caught, and the sequence goes on. */
  readonly isCaught: boolean;
}

interface Held {
  readonly root?: LoadedObject;
  readonly key?: LoadedObject;
  readonly item?: LoadedObject;
  readonly session?: TpmSession;
}

interface Made {
  readonly key: KeyBlob;
  readonly sealed: KeyBlob;
}

/** Takes the first step and, while what it loaded is held, the others. */
async function play(tpm: Tpm, made: Made, [step, ...rest]: readonly Step[], held: Held): Promise<void> {
  if (step === undefined) return;
  try {
    await take(tpm, made, step, held, rest);
  } catch (error) {
    if (!step.isCaught || !(error instanceof Fault)) throw error;
    await play(tpm, made, rest, held);
  }
}

async function take(tpm: Tpm, made: Made, { what }: Step, held: Held, rest: readonly Step[]): Promise<void> {
  const { root, key, item, session } = held;
  const auth = session === undefined ? NO_PASSWORD : ({ kind: "hmac", session, auth: new Uint8Array() } as const);
  const goOn = (more: Held = {}): Promise<void> => play(tpm, made, rest, { ...held, ...more });
  switch (what) {
    case "root":
    case "other root": {
      const hierarchy = what === "root" ? HANDLE.owner : HANDLE.endorsement;
      await using one = await createPrimary(tpm, hierarchy, STORAGE_TEMPLATE, { auth });
      return await goOn(what === "root" ? { root: one } : {});
    }
    case "key": {
      await using one = await load(tpm, root ?? permanent(HANDLE.owner), made.key, auth);
      return await goOn({ key: one });
    }
    case "sealed": {
      await using one = await load(tpm, root ?? permanent(HANDLE.owner), made.sealed, auth);
      return await goOn({ item: one });
    }
    case "damaged":
      await load(tpm, root ?? permanent(HANDLE.owner), { ...made.key, privateBlob: made.key.privateBlob.with(40, 1) }, auth);
      return;
    case "session":
    case "salted": {
      await using one = await startSession(tpm, "hmac", what === "salted" ? root : undefined);
      return await goOn({ session: one });
    }
    case "policy": {
      await using one = await startSession(tpm, "policy", root);
      await policySecret(tpm, one, permanent(HANDLE.owner), auth);
      if (item !== undefined) await unseal(tpm, item, { kind: "policy", session: one });
      return await goOn();
    }
    case "sign":
    case "sign wrongly":
      await sign(tpm, key ?? permanent(HANDLE.owner), DIGEST, what === "sign" ? auth : WRONG);
      return await goOn();
    case "random":
      await getRandom(tpm, 40, session);
      return await goOn();
  }
}

async function slots(tpm: Tpm): Promise<readonly number[]> {
  return [...(await handlesFrom(tpm, FIRST_HANDLE.transient)), ...(await handlesFrom(tpm, FIRST_HANDLE.loadedSession))];
}

async function prepared(t: Test): Promise<{ readonly chip: Swtpm; readonly made: Made }> {
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  await using tpm = await openTpm(chip);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  const [key, sealed] = [await create(tpm, root, SIGNING_TEMPLATE), await create(tpm, root, sealTemplate(), { data: DIGEST })];
  return { chip, made: { key, sealed } };
}

const step = fc.record({ what: fc.constantFrom(...STEPS), isCaught: fc.boolean() });
const accidents = fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.constantFrom(...ACCIDENTS)), { maxLength: 2 });

test("[ID-43] after any sequence no slot is taken, or the way to the TPM is closed", { skip: needs("swtpm") }, async (t) => {
  const { chip, made } = await prepared(t);
  let closed = 0;
  const property = fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 9 }), accidents, async (steps, when) => {
    const way = new Trouble(await connectSimulator({ port: chip.port }), new Map(when));
    const played = new Tpm(way);
    await play(played, made, [{ what: "root", isCaught: true }, ...steps], {}).catch((error: unknown) => {
      if (!(error instanceof Fault) || !error.code.startsWith("tpm.")) throw error;
    });
    const { isClosed } = way;
    await played[Symbol.asyncDispose]();
    await using tpm = await openTpm(chip);
    const left = await slots(tpm);
    if (!isClosed) return left.length === 0;
    closed += 1;
    for (const handle of left) await tpm.release(handle);
    return true;
  });
  await fc.assert(property, { numRuns: isLongRun() ? 1500 : 120 });
  await using tpm = await openTpm(chip);
  t.same(await slots(tpm), []);
  t.match(await lockoutState(tpm), { failures: 0 });
  t.ok(closed > 0, `in ${closed} sequences the kernel has the rest`);
});
