// Metadata on its way to its threshold: each holder of a key adds a signature to the same draft,
// which waits beside the repository until enough of them have signed. [OTA-28]
import { rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { check, tryCheck } from "../../hal/format/schema.ts";
import { type Envelope, parseEnvelope, type Signature } from "../../ota/trust/format/metadata.ts";
import { momentMs, momentSchema, momentText } from "../../ota/trust/format/moment.ts";
import { countingKeyIds } from "../../ota/trust/index.ts";
import type { SigningAuthority } from "./authority.ts";
import { envelopeBytes, signaturesOf } from "./drafts.ts";
import { getFile, putFile } from "./files.ts";
import type { KeySource } from "./keys.ts";
import { signingPath, type WorkshopLayout } from "./layout.ts";
import { METADATA_BYTES_MAX, SIGNING_CLOCK_MS_MAX } from "./limits.ts";
import { removeStaged } from "./staged.ts";

const DAY_MS = 86_400_000;

export interface MetadataDraft {
  readonly version: number;
  readonly expires: string;
  readonly [member: string]: unknown;
}

/** A version of a role that is being signed. */
export interface SigningWork<D extends MetadataDraft = MetadataDraft> {
  readonly role: string;
  readonly draft: D;
  readonly signatures: readonly Signature[];
  /** Signatures that were dropped, because the content has changed since. */
  readonly dropped: number;
}

/** For how long a version is valid, and whether an offline key says when it signed. */
export interface Lifespan {
  readonly days: number;
  readonly offline: boolean;
}

export function envelopeOf({ draft, signatures }: Pick<SigningWork, "draft" | "signatures">): Envelope {
  return { signed: draft, signatures };
}

interface BroughtFile {
  readonly file: string;
  readonly envelope: Envelope;
}

/** Signs drafts with the keys at hand, over what others have signed already. */
export class Signing {
  readonly #layout: WorkshopLayout;
  readonly #keys: KeySource;
  readonly #nowMs: number;
  readonly #brought: readonly BroughtFile[];
  readonly #usedFiles = new Set<string>();

  private constructor(layout: WorkshopLayout, keys: KeySource, nowMs: number, brought: readonly BroughtFile[]) {
    this.#layout = layout;
    this.#keys = keys;
    this.#nowMs = nowMs;
    this.#brought = brought;
  }

  /**
   * @param files with signatures that were made over the same draft in a copy of the directory.
   * @throws Fault `usage.invalid`, `release.store-failed`, `trust.invalid`.
   */
  static async open(layout: WorkshopLayout, keys: KeySource, nowMs: number, files: readonly string[]): Promise<Signing> {
    const brought: BroughtFile[] = [];
    for (const file of files) {
      const envelope = await readEnvelope(file);
      if (envelope === undefined) throw new Fault("usage.invalid", `--signatures "${file}": there is no such file`);
      brought.push({ file, envelope });
    }
    return new Signing(layout, keys, nowMs, brought);
  }

  /** True when signatures wait for others over exactly this content. */
  async isBegun(role: string, draft: object & { readonly version: number }, validity: Lifespan): Promise<boolean> {
    const begun = await readEnvelope(signingPath(this.#layout, role));
    return begun !== undefined && this.#goesOn(begun, draft, validity);
  }

  /**
   * Signs one draft, with dates of its own unless it was begun before.
   * @param authorities whose keys may sign.
   * @throws Fault `release.key-unusable`, `release.store-failed`, `trust.*`.
   */
  async work<D extends { readonly version: number; readonly expires: string; readonly [member: string]: unknown }>(
    role: string,
    next: D,
    validity: Lifespan,
    authorities: readonly SigningAuthority[],
  ): Promise<SigningWork<D>> {
    const begun = await readEnvelope(signingPath(this.#layout, role));
    const goesOn = begun !== undefined && this.#goesOn(begun, next, validity);
    const draft = { ...next, ...(goesOn ? datesIn(begun) : this.#dates(validity)) };
    const kept = goesOn ? counting({ signed: draft, signatures: begun.signatures }, authorities) : [];
    const brought = this.#broughtFor(draft, authorities);
    const keyids = authorities.flatMap(({ role: { keyids: ids } }) => ids);
    const signers = await this.#keys.signersOf(role, keyids, kept.length === 0 && this.#brought.length === 0);
    const all = new Map([...kept, ...brought, ...signaturesOf(draft, signers)].map((each) => [each.keyid, each]));
    return { role, draft, signatures: [...all.values()], dropped: (begun?.signatures.length ?? 0) - kept.length };
  }

  /** @throws Fault `release.refused` for signatures over another content than what is drafted. */
  expectAllBroughtUsed(): void {
    const unused = this.#brought.find(({ file }) => !this.#usedFiles.has(file));
    if (unused !== undefined)
      throw new Fault(
        "release.refused",
        `--signatures "${unused.file}": no signature in it is by a key of the role over what is drafted here; it may have been made over an older content, so have it signed again`,
      );
  }

  #broughtFor(draft: MetadataDraft, authorities: readonly SigningAuthority[]): readonly Signature[] {
    return this.#brought.flatMap(({ file, envelope }) => {
      if (!isDeepStrictEqual(envelope.signed, draft)) return []; // ends at the first difference
      const signatures = counting({ signed: draft, signatures: envelope.signatures }, authorities);
      if (signatures.length > 0) this.#usedFiles.add(file);
      return signatures;
    });
  }

  #dates({ days, offline }: Lifespan): { readonly expires: string; readonly signedAt?: string } {
    return { expires: momentText(this.#nowMs + days * DAY_MS), ...(offline ? { signedAt: momentText(this.#nowMs) } : {}) };
  }

  /**
   * The same content, and dates that this program could have written: whoever began it chose them,
   * and everybody who adds a signature vouches for them.
   */
  #goesOn(begun: Envelope, next: object, { days }: Lifespan): boolean {
    const dates = tryCheck(datesSchema, begun.signed);
    if (dates === undefined || !isDeepStrictEqual(undated(begun.signed), undated(next))) return false;
    const latestMs = this.#nowMs + SIGNING_CLOCK_MS_MAX;
    const { expires, signedAt } = dates;
    const expiresMs = momentMs(expires);
    return (
      expiresMs > this.#nowMs &&
      expiresMs <= latestMs + days * DAY_MS &&
      (signedAt === undefined || momentMs(signedAt) <= latestMs)
    );
  }
}

/** Writes what still waits for signatures. @throws Fault `release.store-failed`. */
export async function storeWork(layout: WorkshopLayout, work: SigningWork): Promise<void> {
  if (work.signatures.length === 0) await dropWork(layout, work.role);
  else await putFile(signingPath(layout, work.role), envelopeBytes(envelopeOf(work)));
}

/** @throws Fault `release.store-failed`. */
export async function dropWork(layout: WorkshopLayout, role: string): Promise<void> {
  const path = signingPath(layout, role);
  await removeStaged(path);
  await rmdir(dirname(path)).catch(() => undefined); // it does not exist, or has others
}

/** @throws Fault `release.store-failed`, `trust.*`. */
export async function readEnvelope(path: string): Promise<Envelope | undefined> {
  const bytes = await getFile(path, METADATA_BYTES_MAX);
  return bytes === undefined ? undefined : parseEnvelope(bytes, METADATA_BYTES_MAX, path);
}

const datesSchema = v.object({ expires: momentSchema, signedAt: v.optional(momentSchema) });

function datesIn({ signed }: Envelope): { readonly expires: string; readonly signedAt?: string } {
  const { expires, signedAt } = check(datesSchema, signed, "draft", "trust.invalid");
  return { expires, ...(signedAt === undefined ? {} : { signedAt }) };
}

function undated(signed: unknown): object {
  const { expires: _expires, signedAt: _signedAt, ...content } = check(v.looseObject({}), signed, "draft", "trust.invalid");
  return content;
}

/** The signatures that count for any of the authorities. */
function counting(envelope: Envelope, authorities: readonly SigningAuthority[]): readonly Signature[] {
  const ids = new Set(authorities.flatMap((authority) => countingKeyIds(envelope, authority)));
  return envelope.signatures.filter(({ keyid }) => ids.has(keyid));
}
