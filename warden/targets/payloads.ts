// Policy and roster: payloads that the warden takes by itself as soon as a newer one for this device is published. [OPS-8] [LCK-13]
import { asFault, Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { checkTarget, type Damage, targetFileName, type TrustedMetadata } from "../../ota/trust/index.ts";
import { POLICY_BYTES_MAX } from "../lockdown/format/index.ts";
import { parseRoster, type Roster, ROSTER_BYTES_MAX } from "../roster/format.ts";
import type { Take } from "./handover.ts";
import type { Candidate } from "./selection.ts";
import { type StoredPayload, storedName, readStored, writeStored } from "./stored-payload.ts";

/** The roster first: it says of which tenant and groups the device is. */
export const PAYLOAD_LINES = ["operators", "policy"] as const;
export type PayloadLine = (typeof PAYLOAD_LINES)[number];
const BYTES_MAX = { operators: ROSTER_BYTES_MAX, policy: POLICY_BYTES_MAX } as const;

export interface Payloads {
  kept(line: PayloadLine): StoredPayload | undefined;
  roster(): Roster | undefined;
  /** What can't be taken now, or was found damaged at the start and was not taken anew. */
  faults(): readonly Damage[];
  /**
   * Takes what `candidate` says, if it is newer than what is kept: verified and durable before it counts. What can't be taken changes nothing and holds up
   * nothing else; it is asked for again with the next cycle, unless it is a payload that will never do.
   * @returns true when something new was taken; the fault when it is refused.
   * @throws Fault `file.*` of courier and files; what ends the request when the payload has to be wanted first.
   */
  take(line: PayloadLine, candidate: Candidate | undefined, trusted: TrustedMetadata, take: Take): Promise<boolean | Fault>;
}

/** What was kept and can't be read any more counts as none, and is taken anew; until then nobody is believed by it. */
export async function openPayloads(files: DurableFiles): Promise<Payloads> {
  const kept = new Map<PayloadLine, StoredPayload>();
  const faults = new Map<PayloadLine, Fault>();
  /** Digests of signed payloads that are no roster. */
  const useless = new Set<string>();
  let roster: Roster | undefined;

  const believe = (line: PayloadLine, one: StoredPayload): void => {
    if (line === "operators") roster = parseRoster(one.bytes);
    kept.set(line, one);
    faults.delete(line);
  };
  for (const line of PAYLOAD_LINES) {
    try {
      const one = await readStored(files, line, BYTES_MAX[line]);
      if (one !== undefined) believe(line, one);
    } catch (error) {
      faults.set(line, asFault(error, "assert.broken", `read "${line}" that was taken`));
    }
  }

  return {
    kept: (line) => kept.get(line),
    roster: () => roster,
    faults: () => [...faults].map(([line, fault]) => ({ name: storedName(line), fault })),
    async take(line, candidate, trusted, take) {
      const before = kept.get(line);
      if (candidate === undefined || candidate.custom.counter <= (before?.counter ?? 0)) {
        if (before !== undefined) faults.delete(line); // what could not be taken is no longer published
        return false;
      }
      if (useless.has(candidate.digest)) return false;
      try {
        const bytes = await payloadOf(candidate, trusted, BYTES_MAX[line], take);
        const { digest, target, custom } = candidate;
        if (line === "operators") refuseUseless(bytes, digest, useless);
        const one = { target: target.path, counter: custom.counter, digest, bytes };
        await writeStored(files, line, one);
        believe(line, one);
        return true;
      } catch (error) {
        if (!(error instanceof Fault) || !isVerdict(error)) throw error;
        faults.set(line, error);
        return error;
      }
    },
  };
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
  if (bytes === undefined) throw new Fault("trust.missing", `the repository has not the file of target "${path}"`);
  checkTarget(target, bytes); // [OTA-6] before a byte of it is used
  return bytes;
}

/** Where the file of a target lies in the repository. @throws Fault `trust.mismatch`. */
export function payloadPath(trusted: TrustedMetadata, target: Candidate["target"]): string {
  return `targets/${targetFileName(trusted, target)}`;
}

/** [OPS-8] A roster that can't be read changes nothing, however well it is signed. */
function refuseUseless(bytes: Uint8Array, digest: string, useless: Set<string>): void {
  try {
    parseRoster(bytes);
  } catch (error) {
    useless.add(digest);
    throw error;
  }
}

function isVerdict({ code }: Fault): boolean {
  return code.startsWith("trust.") || code === "roster.invalid";
}
