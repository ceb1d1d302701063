// What an order is about, for the person who signs it. A device names a hash; the signer's own tool
// finds out what the hash stands for, and refuses to sign where it cannot. [OPS-26] [LCK-20]
import type { KeyObject } from "node:crypto";
import * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { wrap } from "../../hal/format/prose.ts";
import { check, tryCheck } from "../../hal/format/schema.ts";
import { printable } from "../../hal/format/text.ts";
import { type DeviceId, deviceIdSchema, type Fingerprint } from "../../hal/format/identity.ts";
import { nonceSchema } from "../../ota/format/time.ts";
import { reachOf, type TargetCustom } from "../../ota/trust/format/index.ts";
import {
  checkTarget,
  customOf,
  type Fetch,
  type Listing,
  surveyRepository,
  type Target,
  targetFileName,
  whyNotFor,
} from "../../ota/trust/index.ts";
import { upgradePlanHash, upgradePlanSchema, upgradePlansOf } from "../identity/format.ts";
import { differenceOf, type Plan, PLAN_BYTES_MAX, planHash as hashOf, planSchema, staysOpen } from "../lockdown/format/index.ts";
import { type Order, orderVerbSchema, planHashSchema, signOrder } from "../orders/format/index.ts";
import { describeReset, RESET_PLAN_BYTES_MAX, type ResetPlan, resetPlanHash, resetPlanSchema } from "../reset/format.ts";
import { groupsOf, parseRoster, ROSTER_BYTES_MAX } from "../roster/format.ts";

/** An order request: what is signed, and the evidence that the device sent with it. */
export const orderRequestSchema = v.strictObject({
  v: v.literal(1),
  kind: v.literal("order-request"),
  deviceId: deviceIdSchema,
  verb: orderVerbSchema,
  nonce: nonceSchema,
  planHash: v.optional(planHashSchema),
  /**
   * Orders over a policy on trial: the plan, and the one that was in force before [LCK-20]. Orders
   * over the key: what replaces which [ID-65].
   */
  plan: v.optional(v.unknown()),
  before: v.optional(v.unknown()),
});
export type OrderRequest = v.InferOutput<typeof orderRequestSchema>;

/** Two plans and the rest. */
export const ORDER_REQUEST_BYTES_MAX = 2 * PLAN_BYTES_MAX + 4096;
/** How long an order is valid. The device's nonce is valid hardly longer. [OPS-9] */
export const ORDER_HOLD_MS = 300_000;
/** Lines of one section. What nobody can read is not signed. */
const LINES_MAX = 512;
const COLUMNS_MAX = 80;
const REASON_UNITS_MAX = 512;
const DISCARDS = [
  "release   none: the device names no release under way",
  "effect    it discards an update record that cannot be read, with what was rolled back, and restarts",
];
/** A roster may say which tenant's roster counts. */
const ROSTER_ROUNDS_MAX = 3;

/**
 * One line of JSON that went through editors and mail programs: without the byte order mark, line
 * ends, and quotation marks at the beginnings of lines. JSON has no raw line end inside a string,
 * so nothing that was written is lost; a space that a program dropped makes a hash differ.
 */
export function pastedLine(text: string): string {
  return text
    .trim() // a byte order mark is white space
    .split(/\r\n|\r|\n/u)
    .map((line) => line.replace(/^(?:>[ \t]?)+/u, ""))
    .join("")
    .trim();
}

/** @throws Fault `order.invalid`. */
export function parseOrderRequest(bytes: Uint8Array): OrderRequest {
  try {
    if (bytes.byteLength > ORDER_REQUEST_BYTES_MAX)
      throw new Fault("json.too-large", `order request: ${bytes.byteLength} bytes, at most ${ORDER_REQUEST_BYTES_MAX} are read`);
    const line = pastedLine(Buffer.from(bytes).toString());
    return check(orderRequestSchema, parseJson(line, ORDER_REQUEST_BYTES_MAX, "order request"), "order request", "order.invalid");
  } catch (error) {
    const { message } = asFault(error, "order.invalid", "read an order request");
    const hint = "expected the whole line that sallyport-hub order --print printed";
    throw new Fault("order.invalid", `${message}; ${hint}`, { cause: error });
  }
}

/** Where the signer looks for what a hash stands for. */
export interface OrderEvidence {
  /** Undefined where the signer has none. */
  readonly repository: RepositoryEvidence | undefined;
  readonly nowMs: number;
}

export interface RepositoryEvidence {
  /** The signer's own copy of a root. It never comes from the hub. */
  readonly root: Uint8Array;
  /** Sources of bytes, which nobody has to trust: `metadata/` and `targets/` of a repository. */
  readonly fetch: Fetch;
  readonly payload: Fetch;
}

/** What the signer is shown. */
export interface OrderSubject {
  /** Printable lines. */
  readonly lines: readonly string[];
  /** True when the order depends on what a hash stands for, so that a person must have read it. */
  readonly needsConsent: boolean;
}

/**
 * [OPS-26] Finds out what `request` is about.
 * @throws Fault `order.unresolved` when that cannot be known, or is not what the request says;
 *   `trust.*` for a repository that a client would refuse.
 */
export async function resolveSubject(request: OrderRequest, evidence: OrderEvidence): Promise<OrderSubject> {
  const head = `${request.verb} on "${request.deviceId}"`;
  switch (request.verb) {
    case "update.revert":
      // [STA-5] Without a hash it discards an update record that cannot be read.
      if (request.planHash === undefined) return { lines: shown([head, ...DISCARDS]), needsConsent: true };
      return { lines: shown([head, ...(await releaseLines(request, evidence))]), needsConsent: true };
    case "update.approve":
      return { lines: shown([head, ...(await releaseLines(request, evidence))]), needsConsent: true };
    case "lockdown.confirm":
    case "lockdown.revert":
      return { lines: shown([head, ...trialLines(request)]), needsConsent: true };
    case "key.upgrade":
      return { lines: shown([head, ...upgradeLines(request)]), needsConsent: true };
    case "system.wipe":
      return { lines: shown([head, ...wipeLines(request)]), needsConsent: true };
    case "console.login":
    case "system.reboot":
      if (request.planHash !== undefined)
        throw unresolved(request, `the device names ${request.planHash}, but this verb is about no hash`);
      return { lines: [head], needsConsent: false };
    default:
      throw unresolved(request, "no device carries out this verb yet");
  }
}

/**
 * [OPS-7] @returns the envelope as JSON text.
 * @throws Fault `order.invalid` for a kind of key that orders do not use.
 */
export function signRequest(
  { verb, deviceId, nonce, planHash }: Pick<OrderRequest, "verb" | "deviceId" | "nonce" | "planHash">,
  { privateKey, keyid }: { readonly privateKey: KeyObject; readonly keyid: string },
  reason: string | undefined,
  notAfterMs: number,
): string {
  const order: Order = {
    v: 1,
    deviceId,
    nonce,
    verb,
    ...(planHash === undefined ? {} : { planHash }),
    notAfter: new Date(notAfterMs).toISOString(),
    ...(reason === undefined ? {} : { reason }),
  };
  return JSON.stringify(signOrder(order, privateKey, keyid));
}

/**
 * [LCK-20] A plan, hashed again. What it was compared with is only the device's word.
 */
function trialLines(request: OrderRequest): readonly string[] {
  const { planHash } = request;
  if (planHash === undefined) throw unresolved(request, "the device names no plan");
  if (request.plan === undefined) throw unresolved(request, `the plan with the hash ${planHash} is not at hand`);
  const plan = readPlan(request, request.plan);
  const found = hashOf(plan);
  if (found !== planHash)
    throw unresolved(request, `the device asks for ${planHash}, but the plan that it sent has the hash ${found}`);
  const before = request.before === undefined ? undefined : readPlan(request, request.before);
  const { opens, closes } = differenceOf(before, plan);
  const compared =
    before === undefined
      ? "the device did not say what was in force before"
      : "compared with what the device says was in force before";
  return [
    `plan  ${planHash}`,
    "      hashed again on this machine",
    `mode  ${plan.mode}`,
    ...section(request, "confirmed by one of these keys", plan.confirm?.keys ?? []),
    ...section(request, "stays open under this plan", staysOpen(plan)),
    ...(before === undefined
      ? [compared]
      : [...section(request, `opens, ${compared}`, opens), ...section(request, `closes, ${compared}`, closes)]),
  ];
}

/**
 * [ID-57] What the device would lose, hashed again. The device says it, and carries out this and
 * nothing else.
 */
function wipeLines(request: OrderRequest): readonly string[] {
  const { planHash, deviceId } = request;
  if (planHash === undefined) throw unresolved(request, "the device names no plan");
  if (request.plan === undefined)
    throw unresolved(request, `the plan with the hash ${planHash} is not at hand: the device prints it ("wipe plan")`);
  const plan = readResetPlan(request, request.plan);
  const found = resetPlanHash(plan);
  if (found !== planHash)
    throw unresolved(request, `the device asks for ${planHash}, but the plan at hand has the hash ${found}`);
  if (plan.deviceId !== deviceId) throw unresolved(request, `the plan is for "${plan.deviceId}"`);
  return [
    `plan    ${planHash}`,
    "        hashed again on this machine",
    ...describeReset(plan).map(([label, text]) => `${label.padEnd(7)} ${text}`),
    "caution nothing brings the key back; compare its fingerprint with the list of devices",
  ];
}

function readResetPlan(request: OrderRequest, plan: unknown): ResetPlan {
  try {
    if (Buffer.byteLength(JSON.stringify(plan)) <= RESET_PLAN_BYTES_MAX) return check(resetPlanSchema, plan, "plan");
  } catch (error) {
    throw unresolved(request, asFault(error, "schema.invalid", "read the plan").message);
  }
  throw unresolved(request, `the plan has more than ${RESET_PLAN_BYTES_MAX} bytes`);
}

function readPlan(request: OrderRequest, plan: unknown): Plan {
  try {
    if (Buffer.byteLength(JSON.stringify(plan)) <= PLAN_BYTES_MAX) return check(planSchema, plan, "plan");
  } catch (error) {
    throw unresolved(request, asFault(error, "schema.invalid", "read the plan").message);
  }
  throw unresolved(request, `the plan has more than ${PLAN_BYTES_MAX} bytes`);
}

const KEPT = { tpm: "in the TPM", sealed: "sealed by the TPM", file: "in a file" } as const;

/** [ID-65] The key that is replaced, and the weakest that replaces it, hashed again. */
function upgradeLines(request: OrderRequest): readonly string[] {
  const { planHash } = request;
  if (planHash === undefined) throw unresolved(request, "the device says that it can make no stronger key");
  if (request.plan === undefined)
    throw unresolved(request, "it needs the fingerprint of the device's present key: --fingerprint, as the status shows it");
  const plan = tryCheck(upgradePlanSchema, request.plan);
  if (plan === undefined) throw unresolved(request, "what was sent with it is no plan of a key upgrade");
  const found = upgradePlanHash(plan);
  if (found !== planHash)
    throw unresolved(request, `the device asks for ${planHash}, but the plan at hand has the hash ${found}`);
  const { protection, keyFingerprint } = plan.from;
  return [
    `replaces  the key ${KEPT[protection]}`,
    `          ${keyFingerprint}, which you should know as this device's`,
    `by        a new key ${KEPT[plan.to]}${plan.to === "tpm" ? "" : " or stronger"}`,
    "effect    the device keeps its id, makes the key and asks the hub for a certificate; the old key",
    "          stays in use until the hub has accepted the new one, and is then removed",
  ];
}

/**
 * [OPS-26] Adds the plan of an upgrade to a request that has only its hash.
 * @param keyFingerprint of the device's present key, as the signer knows it.
 * @throws Fault `order.unresolved` when no upgrade of that key has the hash.
 */
export function withUpgradePlan(request: OrderRequest, keyFingerprint: Fingerprint): OrderRequest {
  if (request.planHash === undefined) return request;
  const plan = upgradePlansOf(keyFingerprint).find((each) => upgradePlanHash(each) === request.planHash);
  if (plan === undefined) throw unresolved(request, `${request.planHash} is no upgrade of the key ${keyFingerprint}`);
  return { ...request, plan };
}

/** [OPS-26] The release with the hash of the request, as the signer's own root vouches for it. */
async function releaseLines(request: OrderRequest, { repository, nowMs }: OrderEvidence): Promise<readonly string[]> {
  const { planHash, deviceId } = request;
  if (planHash === undefined) throw unresolved(request, "the device names no release");
  if (repository === undefined)
    throw unresolved(request, "it needs your own copy of the repository's root: --root FILE, and the files of a repository");
  const { root, fetch, payload } = repository;
  const listing = await surveyRepository({ root, fetch, nowMs });
  const device = await assignmentOf(deviceId, listing, payload);
  const matching = listing.targets.filter(
    ({ path, file }) => path.startsWith("os/") && `sha256:${file.hashes.get("sha256") ?? ""}` === planHash,
  );
  const described = matching.flatMap((target) => describeRelease(target, listing, device));
  const forDevice = described.filter(({ missed }) => missed === undefined);
  const several = forDevice.length > 1 ? [`caution   ${forDevice.length} releases have this hash`] : [];
  const newer = newerLines(listing, device, forDevice);
  if (forDevice.length > 0)
    return [`hash  ${planHash}`, ...several, ...forDevice.flatMap(({ lines }) => lines), ...newer, ...device.lines];
  const [other] = described;
  const faults = listing.faults.map(({ message }) => `; ${message}`).join("");
  throw unresolved(
    request,
    other === undefined
      ? `no release that your root vouches for has the hash ${planHash}${faults}`
      : `${planHash} is ${other.path}, which is not for this device: ${other.missed ?? ""}`,
  );
}

/** An older release may be what is wanted, but nobody should order it unawares. */
function newerLines({ targets }: Listing, device: Assignment, ordered: readonly DescribedRelease[]): readonly string[] {
  const [first] = ordered.toSorted((a, b) => b.counter - a.counter);
  const inLine = targets.flatMap(({ path, file }) => {
    const custom = path.startsWith("os/") ? customOf(path, file.custom) : undefined;
    if (custom === undefined || custom instanceof Fault || custom.audience === undefined) return [];
    const isFor = custom.line === first?.line && whyNotFor(custom.audience, device) === undefined;
    return isFor && custom.counter > first.counter ? [{ path, counter: custom.counter }] : [];
  });
  const [newest] = inLine.toSorted((a, b) => b.counter - a.counter);
  return newest === undefined ? [] : [`caution   it is not the newest: ${newest.path} has counter ${newest.counter}`];
}

interface DescribedRelease {
  readonly line: string;
  readonly counter: number;
  readonly path: string;
  readonly missed: string | undefined;
  readonly lines: readonly string[];
}

function describeRelease(target: Target, { trusted }: Listing, device: Assignment): readonly DescribedRelease[] {
  const custom = customOf(target.path, target.file.custom);
  if (custom instanceof Fault) return [{ path: target.path, line: "", counter: 0, missed: custom.message, lines: [] }];
  const { line, counter, floorAfterCommit, hardware, audience } = custom;
  const missed = audience === undefined ? "it names no audience" : whyNotFor(audience, device);
  const role = trusted.targets.get(JSON.stringify(["targets", target.role]))?.signed;
  return [
    {
      path: target.path,
      line,
      counter,
      missed,
      lines: [
        `release   ${target.path}`,
        `version   ${target.role} metadata ${role?.version ?? "?"}${role?.signedAt === undefined ? "" : `, signed ${role.signedAt}`}`,
        `line      ${line}, counter ${counter}${floorAfterCommit === undefined ? "" : `, floor ${floorAfterCommit} after its commit`}`,
        `audience  ${reachOf(audience) ?? "nobody"}, which includes "${device.id}"`,
        `hardware  ${"any" in hardware ? "any" : hardware.ids.join(", ")}, which the device compares itself`,
      ],
    },
  ];
}

interface Assignment {
  readonly id: DeviceId;
  readonly tenant: string | undefined;
  readonly groups: readonly string[];
  readonly lines: readonly string[];
}

/**
 * The tenant and groups of a device, as the newest roster for it says. It is read from the same
 * verified repository, because the device's own word proves nothing. [OPS-8]
 */
async function assignmentOf(id: DeviceId, listing: Listing, payload: Fetch): Promise<Assignment> {
  let known: Assignment = { id, tenant: undefined, groups: [], lines: ["roster    none for this device"] };
  for (let round = 0; round < ROSTER_ROUNDS_MAX; round += 1) {
    const roster = newestRoster(listing, known);
    const bytes = roster && (await payload(targetFileName(listing.trusted, roster), ROSTER_BYTES_MAX));
    if (roster === undefined || bytes === undefined) return known;
    checkTarget(roster, bytes);
    const read = parseRoster(bytes);
    const { tenant } = read;
    if (tenant === known.tenant && round > 0) return known;
    known = {
      id,
      tenant,
      groups: groupsOf(read, id),
      lines: [`roster    ${roster.path}, ${tenant === undefined ? "no tenant" : `tenant "${tenant}"`}`],
    };
  }
  return known;
}

function newestRoster({ targets }: Listing, device: Assignment): Target | undefined {
  const candidates = targets.flatMap((target): { target: Target; custom: TargetCustom }[] => {
    const custom = target.path.startsWith("operators/") ? customOf(target.path, target.file.custom) : undefined;
    if (custom === undefined || custom instanceof Fault || custom.audience === undefined) return [];
    return whyNotFor(custom.audience, device) === undefined ? [{ target, custom }] : [];
  });
  return candidates.toSorted((a, b) => b.custom.counter - a.custom.counter)[0]?.target;
}

function section(request: OrderRequest, title: string, lines: readonly string[]): readonly string[] {
  if (lines.length > LINES_MAX)
    throw unresolved(request, `the plan has ${lines.length} entries, and nobody reads more than ${LINES_MAX}`);
  return lines.length === 0 ? [`${title}: nothing`] : [`${title}:`, ...lines.map((line) => `  ${line}`)];
}

/** Nothing is cut off: a line that is too long for a terminal goes on in the next one, indented. */
function shown(lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => wrap(printable(line, line.length), 6, COLUMNS_MAX).split("\n"));
}

function unresolved({ verb, deviceId }: OrderRequest, why: string): Fault {
  return new Fault("order.unresolved", `sign "${verb}" for "${deviceId}": ${printable(why, REASON_UNITS_MAX)}`);
}
