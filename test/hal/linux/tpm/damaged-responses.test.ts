// Real responses, one of each command, cut short, changed and with sizes that lie: each call ends
// with a value or a fault, copies little, and flushes what the response said was loaded.
import fc from "fast-check";
import { test } from "tap";
import { assert, Fault } from "../../../../hal/fault.ts";
import { Tpm } from "../../../../hal/linux/tpm/index.ts";
import { COMMAND } from "../../../../hal/linux/tpm/constants.ts";
import { join, MESSAGE_BYTES_MAX, u16, u32 } from "../../../../hal/linux/tpm/wire.ts";
import { CALLED, callOf, EXCHANGES, type Proof } from "../../../lab/worlds/tpm2-exchanges.ts";
import { isLongRun } from "../../../lab/runner/long-run.ts";

const HEADER_BYTES = 10;
const SUCCESS = new Uint8Array(Buffer.from("80010000000a00000000", "hex"));
const PASSWORD_RESPONSE = Uint8Array.of(0, 0, 1, 0, 0);
/** Parameters, a structure in them, and a buffer in that: each is copied once. */
const COPIES_MAX = 3;
/** Calls whose response begins with a handle. */
const LOADING = new Set([COMMAND.createPrimary, COMMAND.load, COMMAND.loadExternal, COMMAND.startAuthSession].map(Number));

const codeOf = (command: Uint8Array): number => new DataView(command.buffer, command.byteOffset).getUint32(6);

/** The recorded response, or what it would be after a password: then no HMAC hides the parsers. */
function responseOf(name: string, proof: Proof): Uint8Array {
  const { command, response } = EXCHANGES[name] ?? { command: "", response: "" };
  const bytes = new Uint8Array(Buffer.from(response, "hex"));
  if (proof === "hmac" || !response.startsWith("8002")) return bytes;
  const at = HEADER_BYTES + (LOADING.has(codeOf(Buffer.from(command, "hex"))) ? 4 : 0);
  const size = new DataView(bytes.buffer).getUint32(at);
  const passwords = (EXCHANGES[name]?.sessions ?? []).map(() => PASSWORD_RESPONSE);
  return sizedRight(join(bytes.subarray(0, at + 4 + size), ...(passwords.length === 0 ? [PASSWORD_RESPONSE] : passwords)));
}

/** A transport lets through only what has its size in the header. */
function sizedRight(response: Uint8Array): Uint8Array {
  return join(response.subarray(0, 2), u32(response.length), response.subarray(6));
}

/** A response that counts what is copied out of it, and out of its copies. */
class CountingResponse extends Uint8Array {
  static copied = 0;

  override slice(from?: number, to?: number): Uint8Array<ArrayBuffer> {
    const copy = super.slice(from, to);
    CountingResponse.copied += copy.length;
    return copy;
  }
}

type Outcome = "read" | "refused";

/** Runs a call on a damaged response. @throws what is no fault of the TPM, and a leak. */
async function outcomeOf(name: string, proof: Proof, response: Uint8Array): Promise<Outcome> {
  const sent: Uint8Array[] = [];
  let isOpen = true;
  const tpm = new Tpm(
    {
      exchange: (command) => Promise.resolve(sent.push(command) === 1 ? new CountingResponse(response) : SUCCESS),
      [Symbol.asyncDispose]: () => Promise.resolve(void (isOpen = false)),
    },
    { retriesMax: 0 },
  );
  CountingResponse.copied = 0;
  const outcome = await callOf(name, tpm, proof).then(
    (): Outcome => "read",
    (error: unknown): Outcome => {
      if (!(error instanceof Fault) || !error.code.startsWith("tpm.")) throw error;
      return "refused";
    },
  );
  const { copied } = CountingResponse;
  assert(copied <= COPIES_MAX * response.length, `${name} copied ${copied} bytes of ${response.length}`);
  const [first = SUCCESS, second] = sent;
  const isLoaded = LOADING.has(codeOf(first)) && response.length >= HEADER_BYTES + 4 && codeOf(response) === 0;
  if (outcome === "refused" && isLoaded && isOpen) {
    const handle = response.subarray(HEADER_BYTES, HEADER_BYTES + 4);
    assert(second !== undefined && codeOf(second) === COMMAND.flushContext, `${name} flushes what was loaded`);
    assert(Buffer.from(second.subarray(HEADER_BYTES)).equals(handle), `${name} flushes the handle of the response`);
  }
  return outcome;
}

const PROOFS = ["hmac", "password"] as const;

/** Every call in both ways, with the response that it reads. */
function* cases(): Iterable<readonly [name: string, proof: Proof, response: Uint8Array]> {
  for (const name of CALLED) for (const proof of PROOFS) yield [name, proof, responseOf(name, proof)];
}

/** `response` with a 16-bit or 32-bit number in place of what is at `at`. */
function lying(response: Uint8Array, at: number, lie: Uint8Array): Uint8Array {
  const changed = new Uint8Array(response);
  changed.set(lie.subarray(0, response.length - at), at);
  return sizedRight(changed);
}

test("the recorded responses are read, with an HMAC and with a password", async (t) => {
  for (const [name, proof, response] of cases())
    if (name !== "startup") t.equal(await outcomeOf(name, proof, response), "read", `${name} by ${proof}`);
});

test("[ID-43] every prefix of every response is refused", async (t) => {
  for (const [name, proof, response] of cases())
    for (let bytes = HEADER_BYTES; bytes < response.length; bytes += 1)
      if ((await outcomeOf(name, proof, sizedRight(response.subarray(0, bytes)))) !== "refused")
        t.fail(`${name} by ${proof}: ${bytes} of ${response.length} bytes are read`);
  t.pass();
});

test("[ID-43] [ID-44] every bit of every response may flip, and behind an HMAC a flip is refused", async (t) => {
  for (const [name, proof, response] of cases()) {
    const isSession = proof === "hmac" && (EXCHANGES[name]?.sessions ?? []).length > 0;
    const isFlushed = name === "flushContext" || name === "flushSession";
    // A handle is outside of the HMAC. (Part 1, Response parameter hash)
    const protectedFrom = HEADER_BYTES + (LOADING.has(codeOf(Buffer.from(EXCHANGES[name]?.command ?? "", "hex"))) ? 4 : 0);
    for (let bit = 0; bit < response.length * 8; bit += isLongRun() || response.length < 50 ? 1 : 13) {
      const [at, mask] = [bit >>> 3, 1 << (bit & 7)];
      if (at >= 2 && at < 6) continue; // The size, which a transport compares.
      const changed = new Uint8Array(response);
      changed[at] = (changed[at] ?? 0) ^ mask;
      const outcome = await outcomeOf(name, proof, changed);
      if (isSession && !isFlushed && at >= protectedFrom && outcome === "read") t.fail(`${name}: bit ${bit} is not covered`);
    }
  }
  t.pass();
});

test("[ID-43] sizes and counts that lie lead nowhere, in a response of any length", async (t) => {
  const lies = [u16(0xffff), u16(0x1001), u16(0), u32(0xffff_ffff), u32(0x0100_0000), u32(0x400)];
  for (const [name, proof, response] of cases())
    for (let at = HEADER_BYTES; at < response.length; at += isLongRun() ? 1 : 9)
      for (const lie of lies) await outcomeOf(name, proof, lying(response, at, lie));
  const filled = fc.tuple(fc.nat(), fc.nat(), fc.constantFrom(...lies), fc.nat(0xff), fc.nat(MESSAGE_BYTES_MAX));
  const all = [...cases()];
  await fc.assert(
    fc.asyncProperty(filled, async ([pick, place, lie, filling, length]) => {
      const [name, proof, response] = all[pick % all.length] ?? ["random", "hmac", SUCCESS];
      const long = new Uint8Array(Math.max(response.length + 4, length)).fill(filling);
      long.set(response);
      await outcomeOf(name, proof, lying(long, HEADER_BYTES + (place % (response.length - HEADER_BYTES + 1)), lie));
    }),
    { numRuns: isLongRun() ? 20_000 : 500 },
  );
  t.pass();
});
