// Policy and roster: payloads that the warden stores by itself as soon as a newer one for this
// device is published. [OPS-8] [LCK-13]
import { asFault, Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { checkTarget, type Damage, targetFileName, type TrustedMetadata } from "../../ota/trust/index.ts";
import { POLICY_BYTES_MAX } from "../lockdown/format/index.ts";
import { parseRoster, type Roster, ROSTER_BYTES_MAX } from "../roster/format.ts";
import type { Take } from "./handover.ts";
import type { Candidate } from "./selection.ts";
import { readStored, storedName, type StoredPayload, writeStored } from "./stored-payload.ts";

/** The roster comes first: it says to which tenant and groups the device belongs. */
export const PAYLOAD_LINES = ["operators", "policy"] as const;
export type PayloadLine = (typeof PAYLOAD_LINES)[number];
const BYTES_MAX = { operators: ROSTER_BYTES_MAX, policy: POLICY_BYTES_MAX } as const;

/**
 * A stored payload that cannot be read counts as none until it is stored anew: nobody is trusted by
 * it meanwhile.
 */
export async function openPayloads(files: DurableFiles): Promise<Payloads> {
  const payloads = new Payloads(files);
  await payloads.load();
  return payloads;
}

export class Payloads {
  readonly #files: DurableFiles;
  readonly #stored = new Map<PayloadLine, StoredPayload>();
  readonly #faults = new Map<PayloadLine, Fault>();
  /** Digests of signed payloads that are not rosters. */
  readonly #useless = new Set<string>();
  #roster: Roster | undefined;

  constructor(files: DurableFiles) {
    this.#files = files;
  }

  stored(line: PayloadLine): StoredPayload | undefined {
    return this.#stored.get(line);
  }

  roster(): Roster | undefined {
    return this.#roster;
  }

  /**
   * Payloads that cannot be stored now, or that were damaged at the start and are not stored anew
   * yet.
   */
  faults(): readonly Damage[] {
    return [...this.#faults].map(([line, fault]) => ({ name: storedName(line), fault }));
  }

  /** Reads what is stored. A fault is kept for {@link faults}. */
  async load(): Promise<void> {
    for (const line of PAYLOAD_LINES) {
      try {
        const payload = await readStored(this.#files, line, BYTES_MAX[line]);
        if (payload !== undefined) this.#accept(line, payload);
      } catch (error) {
        this.#faults.set(line, asFault(error, "assert.broken", `read the stored payload "${line}"`));
      }
    }
  }

  /**
   * Stores the payload of `candidate` if it is newer than the stored one. It is verified and
   * durable before it counts. A payload that cannot be stored changes nothing and delays nothing
   * else. The next cycle tries it again, unless the payload itself is useless.
   * @returns true when something new was stored; the fault when the payload is refused.
   * @throws Fault `file.*` of the hand-over directory and the files; what ends the request when the
   *   payload is wanted first.
   */
  async take(
    line: PayloadLine,
    candidate: Candidate | undefined,
    trusted: TrustedMetadata,
    take: Take,
  ): Promise<boolean | Fault> {
    const before = this.#stored.get(line);
    if (candidate === undefined || candidate.custom.counter <= (before?.counter ?? 0)) {
      // the payload that could not be stored is no longer published
      const isUnread = line === "operators" && this.#roster === undefined;
      if (before !== undefined && !isUnread) this.#faults.delete(line);
      return false;
    }
    if (this.#useless.has(candidate.digest)) return false;
    try {
      const bytes = await payloadOf(candidate, trusted, BYTES_MAX[line], take);
      const { digest, target, custom } = candidate;
      if (line === "operators") this.#expectRoster(bytes, digest);
      const payload = { target: target.path, counter: custom.counter, digest, bytes };
      await writeStored(this.#files, line, BYTES_MAX[line], payload);
      this.#accept(line, payload);
      return true;
    } catch (error) {
      if (!(error instanceof Fault) || !isVerdict(error)) throw error;
      this.#faults.set(line, error);
      return error;
    }
  }

  #accept(line: PayloadLine, payload: StoredPayload): void {
    // first: its counter counts, also where this program cannot read it
    this.#stored.set(line, payload);
    if (line === "operators") this.#roster = parseRoster(payload.bytes);
    this.#faults.delete(line);
  }

  /** [OPS-20] A roster that cannot be read changes nothing, even with valid signatures. */
  #expectRoster(bytes: Uint8Array, digest: string): void {
    try {
      parseRoster(bytes);
    } catch (error) {
      this.#useless.add(digest);
      throw error;
    }
  }
}

/** @throws Fault `trust.too-large`, `trust.missing`, `trust.mismatch`; those of `take`. */
export async function payloadOf(
  { target }: Pick<Candidate, "target">,
  trusted: TrustedMetadata,
  bytesMax: number,
  take: Take,
): Promise<Uint8Array> {
  const { path, file } = target;
  if (file.length > bytesMax)
    throw new Fault("trust.too-large", `target "${path}" has ${file.length} bytes, at most ${bytesMax} are accepted`);
  const bytes = await take(payloadPath(trusted, target), file.length);
  if (bytes === undefined) throw new Fault("trust.missing", `the repository lacks the file of target "${path}"`);
  checkTarget(target, bytes); // [OTA-6] before a byte of it is used
  return bytes;
}

/** The path of a target's file in the repository. @throws Fault `trust.mismatch`. */
export function payloadPath(trusted: TrustedMetadata, target: Candidate["target"]): string {
  return `targets/${targetFileName(trusted, target)}`;
}

function isVerdict({ code }: Fault): boolean {
  return code.startsWith("trust.") || code === "roster.invalid" || code === "record.newer";
}
