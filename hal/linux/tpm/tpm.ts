// One TPM: puts commands together, sends them one at a time, checks the responses, and gives back
// what a failed one left in a slot. (Part 1, Command and response structure)
import { setTimeout as sleep } from "node:timers/promises";
import { assert, Fault } from "../../fault.ts";
import { createMutex } from "../../mutex.ts";
import { isRetry, responseFault } from "./codes.ts";
import { COMMAND, SESSION, TAG } from "./constants.ts";
import { type Authorization, passwordCommand, readAuthResponse, type TpmEntity, type TpmSession } from "./session.ts";
import { digestOf } from "./structures.ts";
import { SESSION_HASH } from "./kdf.ts";
import type { OnHang, TpmTransport } from "./transport.ts";
import { HEADER_BYTES } from "./transport.ts";
import { join, sized, u16, u32, WireReader } from "./wire.ts";

/** One command. (Part 3) */
export interface TpmCall {
  /** For faults: `TPM2_Sign`. */
  readonly name: string;
  readonly code: number;
  readonly handles?: readonly TpmEntity[];
  /** For the first handles, in their order. */
  readonly auths?: readonly Authorization[];
  /** A salted session that authorizes nothing and only encrypts. */
  readonly cover?: TpmSession | undefined;
  readonly parameters?: Uint8Array;
  /** Which first parameters are a TPM2B, and so can be encrypted. */
  readonly sized?: "command" | "response" | "both";
  /** The password that holds after the command, where it changes the first one. */
  readonly authAfter?: Uint8Array;
  /** Makes a key or tests the chip, which takes a real chip a minute. */
  readonly isSlow?: boolean;
}

export interface TpmOptions {
  /** Bound of one command; 120 s when left out, which only a hang reaches. */
  readonly timeoutMs?: number;
  /** Bound of one command that makes a key or tests the chip; 300 s when left out. */
  readonly slowTimeoutMs?: number;
  /** How often a TPM that is busy is asked again; 14 times, within about 10 s, when left out. */
  readonly retriesMax?: number;
  /** Of a device: see {@link openTpmDevice}. */
  readonly onHang?: OnHang;
}

/** One user of an authorization area: who signs, with which secret, and with which attributes. */
interface AuthSlot {
  readonly session: TpmSession | undefined;
  readonly auth: Uint8Array;
  readonly attributes: number;
}

const TIMEOUT_MS = 120_000;
const SLOW_TIMEOUT_MS = 300_000;
const RETRIES_MAX = 14;
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1000;

/** The commands of this folder run on it. Close it with `await using`. */
export class Tpm implements AsyncDisposable {
  readonly #transport: TpmTransport;
  readonly #timeoutMs: number;
  readonly #slowTimeoutMs: number;
  readonly #retriesMax: number;
  readonly #exclusively = createMutex();

  constructor(transport: TpmTransport, options: TpmOptions = {}) {
    const { timeoutMs = TIMEOUT_MS, slowTimeoutMs = SLOW_TIMEOUT_MS, retriesMax = RETRIES_MAX } = options;
    this.#retriesMax = retriesMax;
    this.#transport = transport;
    this.#timeoutMs = timeoutMs;
    this.#slowTimeoutMs = slowTimeoutMs;
  }

  /**
   * Runs a command whose response has no handle.
   * @returns what `read` makes of the response's parameters; it must use all of them.
   * @throws Fault `tpm.*` as {@link responseFault} and {@link TpmTransport} say.
   */
  run<T>(call: TpmCall, read: (reader: WireReader) => T): Promise<T> {
    return this.#exclusively(async () => {
      const [, parameters] = await this.#execute(call, false);
      return finished(parameters, read);
    });
  }

  /**
   * Runs a command that loads something. When `read` fails, or the response's HMAC is wrong, what
   * was loaded is flushed before the fault is thrown. [ID-43]
   */
  load<T>(call: TpmCall, read: (handle: number, reader: WireReader) => T): Promise<T> {
    return this.#exclusively(async () => {
      const loaded: number[] = [];
      try {
        const [handle, parameters] = await this.#execute(call, true, (handle) => loaded.push(handle));
        return finished(parameters, (reader) => read(handle, reader));
      } catch (error) {
        for (const handle of loaded) await this.#flush(handle);
        throw error;
      }
    });
  }

  /**
   * Takes an object or session out of its slot. Never rejects, so that it cannot hide the fault
   * that led to it: where it fails the way to the TPM is closed, and the kernel flushes the slots.
   */
  release(handle: number): Promise<void> {
    return this.#exclusively(() => this.#flush(handle));
  }

  async #flush(handle: number): Promise<void> {
    try {
      const call = { name: "TPM2_FlushContext", code: COMMAND.flushContext, parameters: u32(handle) };
      finished((await this.#execute(call, false))[1], () => undefined);
    } catch (error) {
      // Gone already, as after a restart of the TPM: the slot is free.
      const isGone = error instanceof Fault && error.code === "tpm.missing";
      if (!isGone) await this.#transport[Symbol.asyncDispose]();
    }
  }

  async #execute(
    call: TpmCall,
    hasHandle: boolean,
    onHandle: (handle: number) => void = () => undefined,
  ): Promise<readonly [number, WireReader]> {
    const slots = slotsOf(call);
    const response = await this.#exchange(call, commandOf(call, slots));
    const reader = new WireReader(response, `the response to ${call.name}`);
    const tag = reader.u16();
    reader.u32();
    const code = reader.u32();
    if (code !== 0) {
      for (const { session } of slots) session?.refused();
      throw responseFault(call.name, code);
    }
    const handle = hasHandle ? reader.u32() : 0;
    if (hasHandle) onHandle(handle);
    if (tag !== (slots.length > 0 ? TAG.sessions : TAG.noSessions)) throw reader.wrong(`tag ${tag}`);
    return [handle, slots.length > 0 ? checked(call, slots, reader) : reader];
  }

  /** Sends the same bytes again while the TPM did not begin: nonces roll with an answer only. */
  async #exchange(call: TpmCall, command: Uint8Array): Promise<Uint8Array> {
    for (let attempt = 0; ; attempt += 1) {
      const response = await this.#transport.exchange(command, call.isSlow === true ? this.#slowTimeoutMs : this.#timeoutMs);
      const code = new DataView(response.buffer, response.byteOffset, response.byteLength).getUint32(HEADER_BYTES - 4);
      if (!isRetry(code) || attempt === this.#retriesMax) return response;
      await sleep(Math.min(RETRY_MS_MIN * 2 ** attempt, RETRY_MS_MAX));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#exclusively(async () => await this.#transport[Symbol.asyncDispose]());
  }
}

function finished<T>(reader: WireReader, read: (reader: WireReader) => T): T {
  const value = read(reader);
  reader.end();
  return value;
}

/** Which session encrypts what: the cover when there is one, else a salted authorization. */
function slotsOf({ auths = [], cover, sized }: TpmCall): readonly AuthSlot[] {
  const first = auths.find((auth) => auth.kind !== "password" && auth.session.isSalted);
  const cipher = cover ?? (first !== undefined && first.kind !== "password" ? first.session : undefined);
  const attributesOf = (session: TpmSession): number => {
    const isCipher = session === cipher && session.isSalted;
    const decrypt = isCipher && (sized === "command" || sized === "both") ? SESSION.decrypt : 0;
    const encrypt = isCipher && (sized === "response" || sized === "both") ? SESSION.encrypt : 0;
    return SESSION.continueSession | decrypt | encrypt;
  };
  const slots = auths.map((given): AuthSlot => {
    const auth = given.kind === "policy" ? new Uint8Array() : trimmed(given.auth);
    if (given.kind === "password") return { session: undefined, auth, attributes: SESSION.continueSession };
    return { session: given.session, auth, attributes: attributesOf(given.session) };
  });
  // A session that would neither authorize nor encrypt is an error to a TPM.
  if (cover === undefined || sized === undefined) return slots;
  assert(!slots.some(({ session }) => session === cover), "a cover authorizes nothing");
  return [...slots, { session: cover, auth: new Uint8Array(), attributes: attributesOf(cover) }];
}

/** A TPM removes the zeros at the end of an auth value. (Part 1) */
function trimmed(auth: Uint8Array): Uint8Array {
  return auth.subarray(0, auth.findLastIndex((byte) => byte !== 0) + 1);
}

function commandOf({ code, handles = [], parameters = new Uint8Array() }: TpmCall, slots: readonly AuthSlot[]): Uint8Array {
  for (const { session } of slots) session?.rollCaller();
  const decrypting = slots.find(({ attributes }) => (attributes & SESSION.decrypt) !== 0);
  const sent = decrypting === undefined ? parameters : ciphered(parameters, "encrypt", decrypting);
  const area = areaOf(code, handles, sent, slots);
  const body = join(...handles.map(({ handle }) => u32(handle)), area, sent);
  const tag = slots.length > 0 ? TAG.sessions : TAG.noSessions;
  return join(u16(tag), u32(HEADER_BYTES + body.length), u32(code), body);
}

/** The authorization area, with its size. (Part 1) */
function areaOf(code: number, handles: readonly TpmEntity[], sent: Uint8Array, slots: readonly AuthSlot[]): Uint8Array {
  if (slots.length === 0) return new Uint8Array();
  const cpHash = digestOf(SESSION_HASH, u32(code), ...handles.map(({ name }) => name), sent);
  const nonceOf = (attribute: number): TpmSession | undefined =>
    slots.find(({ attributes }, index) => index > 0 && (attributes & attribute) !== 0)?.session;
  // The first session's HMAC covers the nonces of the others that encrypt, each once.
  const ciphers = new Set([nonceOf(SESSION.decrypt), nonceOf(SESSION.encrypt)]);
  const others = join(...[...ciphers].map((session) => session?.nonceTpm ?? new Uint8Array()));
  const entries = slots.map(({ session, auth, attributes }, index) =>
    session === undefined
      ? passwordCommand(auth)
      : session.authCommand(auth, cpHash, attributes, index === 0 ? others : new Uint8Array()),
  );
  const area = join(...entries);
  return join(u32(area.length), area);
}

/** Verifies every session of a response before anything in it is used. [ID-44] */
function checked(call: TpmCall, slots: readonly AuthSlot[], reader: WireReader): WireReader {
  const parameters = reader.bytes(reader.u32());
  const rpHash = digestOf(SESSION_HASH, u32(0), u32(call.code), parameters);
  const after = slots.map((slot, index) => (index === 0 && call.authAfter ? { ...slot, auth: trimmed(call.authAfter) } : slot));
  for (const { session, auth } of after) {
    const response = readAuthResponse(reader);
    if (session !== undefined && !session.accept(response, auth, rpHash))
      throw new Fault("tpm.tampered", `the response to ${call.name} is not the TPM's: its HMAC is wrong; check what is between`);
  }
  reader.end();
  const encrypting = after.find(({ attributes }) => (attributes & SESSION.encrypt) !== 0);
  const clear = encrypting === undefined ? parameters : ciphered(parameters, "decrypt", encrypting);
  return new WireReader(clear, `the response to ${call.name}`);
}

function ciphered(parameters: Uint8Array, direction: "encrypt" | "decrypt", { session, auth }: AuthSlot): Uint8Array {
  assert(session !== undefined, "what encrypts is a session");
  const reader = new WireReader(parameters, "the first parameter");
  const content = reader.sized();
  return join(sized(session[direction](auth, content)), reader.rest());
}
