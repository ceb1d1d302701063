// `sallyport-release sign`: makes staged targets part of the repository, once enough holders of
// keys have signed. Each file is written before another one refers to it, and the timestamp last:
// an interruption leaves the old repository or the new one. [OTA-14] [OTA-28]
import { basename } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { DELEGATED_ROLES, TOP_LEVEL_ROLES } from "../../ota/trust/format/index.ts";
import { momentMs } from "../../ota/trust/format/moment.ts";
import { checkContents } from "../../ota/trust/index.ts";
import { type Progress, progressOf } from "./authority.ts";
import { expectVouched } from "./before.ts";
import { envelopeBytes } from "./drafts.ts";
import { putFile } from "./files.ts";
import { dropKeyChanges, readKeyChanges } from "./key-changes.ts";
import { Keyring, NO_KEYS } from "./keys.ts";
import { type WorkshopLayout, layoutOf, metadataPath, signingPath } from "./layout.ts";
import { RENEW_AHEAD_DAYS } from "./limits.ts";
import { readRepository, type ReleaseRepository } from "./repository.ts";
import { type Round, runRound } from "./round.ts";
import { dropWork, envelopeOf, readEnvelope, Signing, type SigningWork, storeWork } from "./signing.ts";
import { unstage } from "./staged.ts";
import { checkAsClient, contentsIn, fetchFrom } from "./verify.ts";

export interface Signed {
  readonly role: string;
  readonly version: number;
  readonly expires: string;
  /** The drafts that became part of it. */
  readonly targets: readonly SignedTarget[];
}

export interface SignedTarget {
  readonly target: string;
  readonly line: string;
  readonly counter: number;
  /** Whom its audience reaches, as a text for people. */
  readonly reach: string;
}

/** A role that is signed by some, and waits for others. [OTA-28] */
export interface Waiting {
  readonly role: string;
  readonly version: number;
  /** By each set of keys that has to sign: for a root the former ones and its own. */
  readonly progress: readonly Progress[];
  /** Signatures that were dropped, because the content has changed since. */
  readonly dropped: number;
}

export interface SignOutcome {
  readonly signed: readonly Signed[];
  readonly waiting: readonly Waiting[];
  /** What devices refuse, and refuse already: roles that have expired and were left alone. */
  readonly warnings: readonly string[];
}

export interface SignOptions {
  /** Files with keys, besides those in the directory. */
  readonly keys?: readonly string[];
  /** Files with signatures that were made in a copy of the directory. */
  readonly signatures?: readonly string[];
  /** True: the roles that have expired, or soon will, without their drafts. [OTA-29] */
  readonly renew?: boolean;
  /** The signer's own copy of the first root, where the directory came from others. */
  readonly root?: string | undefined;
}

const DAY_MS = 86_400_000;

/**
 * Signs the roles with drafts, or only those of `roles`, whose expiry is renewed; then snapshot and
 * timestamp where these changed. [OTA-26] A role that has not enough signatures yet waits beside
 * the repository, and what rests on it waits too. [OTA-28]
 * @returns what was signed, in that order; empty when nothing has changed.
 * @throws Fault `usage.invalid`, `release.*`, `trust.*`. A device would refuse the result, and
 *   nothing was written. [OTA-25]
 */
export async function signChanges(
  directory: string,
  roles: readonly string[],
  nowMs: number,
  { keys = [], signatures = [], renew = false, root }: SignOptions = {},
): Promise<SignOutcome> {
  const layout = layoutOf(directory);
  for (const role of roles) expectRole(role);
  const repository = await readRepository(layout);
  await expectVouched(layout, repository, root);
  const keyring = await Keyring.open(layout, keys);
  const signing = await Signing.open(layout, keyring, nowMs, signatures);
  const named = renew ? [...roles, ...dueRoles(repository, nowMs)] : roles;
  const round = await runRound(layout, repository, { signing, roles: named, withDrafts: !renew });
  keyring.expectAllUsed();
  signing.expectAllBroughtUsed();
  return await settle(layout, round, nowMs);
}

/** Roles that have expired or soon will, and those that are renewed anyway. */
function dueRoles({ root, targets }: ReleaseRepository, nowMs: number): readonly string[] {
  const untilMs = nowMs + RENEW_AHEAD_DAYS * DAY_MS;
  const due = [["root", root] as const, ...targets].filter(([, { expires }]) => momentMs(expires) <= untilMs);
  return [...due.map(([role]) => role), "snapshot", "timestamp"];
}

/** Writes what is complete into the repository, and what is not beside it. */
async function settle(
  layout: WorkshopLayout,
  { finished, waiting, drafts, idle, idleChanges }: Round,
  nowMs: number,
): Promise<SignOutcome> {
  const files = finished.map((work) => {
    const { role, draft } = work;
    const path = metadataPath(layout, role, role === "timestamp" ? undefined : draft.version);
    return { path, name: basename(path), bytes: envelopeBytes(envelopeOf(work)) };
  });
  const { targets, warnings } =
    files.length === 0
      ? { targets: [], warnings: [] }
      : await checkSigned(
          layout,
          files,
          finished.flatMap(({ role }) => drafts.get(role) ?? []),
          nowMs,
        );
  for (const { path, bytes } of files) await putFile(path, bytes);
  for (const { role } of finished) {
    if (drafts.has(role)) await unstage(layout, role);
    await dropWork(layout, role);
  }
  for (const role of idle) await unstage(layout, role);
  await dropKeyChanges(layout, [...settledChanges(finished), ...idleChanges]);
  for (const { work } of waiting) await storeWork(layout, work);
  return {
    signed: finished.map(({ role, draft: { version, expires } }) => ({
      role,
      version,
      expires,
      targets: targets.filter(({ target }) => target.startsWith(`${role}/`)),
    })),
    waiting: waiting.map((each) => asWaiting(each)),
    warnings,
  };
}

/**
 * [OTA-28] How far the drafts are that wait for the signatures of several people.
 * @throws Fault `release.*`, `trust.*`.
 */
export async function listWaiting(directory: string, nowMs: number): Promise<readonly Waiting[]> {
  const layout = layoutOf(directory);
  const signing = await Signing.open(layout, NO_KEYS, nowMs, []);
  const { waiting } = await runRound(layout, await readRepository(layout), { signing, roles: [], withDrafts: true });
  return waiting
    .map((each) => asWaiting(each))
    .filter(
      ({ progress, dropped }) => dropped > 0 || progress.some(({ signed, threshold }) => threshold > 1 || signed.length > 0),
    );
}

/**
 * Removes the change of keys of a role, and the signatures on its next version.
 * @throws Fault `usage.invalid` when there is neither; `release.*`.
 */
export async function removeSigning(directory: string, role: string): Promise<void> {
  const layout = layoutOf(directory);
  const isChanged = (await readKeyChanges(layout))[role] !== undefined;
  if (!isChanged && (await readEnvelope(signingPath(layout, expectRole(role)))) === undefined)
    throw new Fault(
      "usage.invalid",
      `"${role}" has neither a drafted change of keys nor signatures; sallyport-release drafts ${directory} lists all`,
    );
  await dropKeyChanges(layout, [role]);
  await dropWork(layout, role);
}

function asWaiting({ work, authorities }: Round["waiting"][number]): Waiting {
  const progress = authorities.map((authority) => progressOf(envelopeOf(work), authority));
  return { role: work.role, version: work.draft.version, progress, dropped: work.dropped };
}

function expectRole(role: string): string {
  const known: readonly string[] = [...TOP_LEVEL_ROLES, ...DELEGATED_ROLES];
  if (known.includes(role)) return role;
  throw new Fault("usage.invalid", `there is no role ${quoted(role)}; the roles are ${known.join(", ")}`);
}

/** Roles whose keys were changed by what is complete. */
function settledChanges(finished: readonly SigningWork[]): readonly string[] {
  const done = finished.map(({ role }) => role);
  return [...(done.includes("root") ? TOP_LEVEL_ROLES : []), ...(done.includes("targets") ? DELEGATED_ROLES : [])];
}

/**
 * [OTA-25] Checks the repository as it will be, with the client's verifier, and the files of its
 * new targets.
 */
async function checkSigned(
  layout: WorkshopLayout,
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  drafts: readonly string[],
  nowMs: number,
): Promise<{ readonly targets: readonly SignedTarget[]; readonly warnings: readonly string[] }> {
  const fetch = fetchFrom(layout, new Map(files.map(({ name, bytes }) => [name, bytes])));
  const { listing, targets, tolerated } = await checkAsClient(`sign "${layout.directory}"`, layout, {
    fetch,
    published: fetchFrom(layout),
    nowMs,
  });
  const fresh = targets.filter(({ target }) => drafts.includes(target.path));
  await checkContents(
    listing,
    fresh.map(({ target }) => target),
    contentsIn(layout),
  );
  return {
    targets: fresh.map(({ target, custom, reach }) => ({
      target: target.path,
      line: custom.line,
      counter: custom.counter,
      reach,
    })),
    warnings: tolerated.map(({ message }) => message),
  };
}
