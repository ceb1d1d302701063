// `sallyport-release keys`: who may sign a role, and how many of them must. A change is a draft of
// the role that delegates, root or targets, until that is signed. [OTA-28]
import * as v from "valibot";
import { createPublicKey, type KeyObject } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { DELEGATED_ROLES, keyIdOf, TOP_LEVEL_ROLES, type TufKey, tufKeyOf } from "../../ota/trust/format/index.ts";
import { tufKeySchema } from "../../ota/trust/format/keys.ts";
import { delegatedAuthority, type SigningAuthority, topLevelAuthority } from "./authority.ts";
import type { RootDraft, TargetsDraft } from "./drafts.ts";
import { getFile, putFile } from "./files.ts";
import { keyChangesPath, layoutOf, type WorkshopLayout } from "./layout.ts";
import { KEY_BYTES_MAX, KEY_CHANGES_BYTES_MAX, ROLE_KEYS_MAX } from "./limits.ts";
import { readRepository, type ReleaseRepository } from "./repository.ts";
import { removeStaged } from "./staged.ts";

const changeSchema = v.strictObject({
  threshold: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(ROLE_KEYS_MAX)),
  keys: v.record(v.string(), tufKeySchema),
});
const rootKeysSchema = v.looseObject({ keys: v.record(v.string(), v.unknown()) });
const changesSchema = v.record(v.string(), changeSchema);
export type KeyChange = v.InferOutput<typeof changeSchema>;
export type KeyChanges = Readonly<Record<string, KeyChange>>;

export interface RoleKeys {
  readonly role: string;
  readonly threshold: number;
  readonly keyids: readonly string[];
  /** The change that is drafted and not signed yet. */
  readonly draft?: { readonly threshold: number; readonly keyids: readonly string[] };
}

/** @throws Fault `release.store-failed`, `trust.invalid`. */
export async function readKeyChanges(layout: WorkshopLayout): Promise<KeyChanges> {
  const path = keyChangesPath(layout);
  const bytes = await getFile(path, KEY_CHANGES_BYTES_MAX);
  return bytes === undefined ? {} : check(changesSchema, parseJson(bytes, KEY_CHANGES_BYTES_MAX, path), path, "trust.invalid");
}

/** The keys of every role as they are in force. @throws Fault `release.*`, `trust.invalid`. */
export async function listKeys(directory: string): Promise<readonly RoleKeys[]> {
  const layout = layoutOf(directory);
  const repository = await readRepository(layout);
  const changes = await readKeyChanges(layout);
  return ROLES.flatMap((role) => {
    const authority = authorityInForce(role, repository);
    const change = changes[role];
    if (authority === undefined) return [];
    const { keyids, threshold } = authority.role;
    const draft = change && { threshold: change.threshold, keyids: Object.keys(change.keys) };
    return [{ role, threshold, keyids, ...(draft === undefined ? {} : { draft }) }];
  });
}

/**
 * [OTA-28] Drafts other keys, or another threshold, for a role.
 * @param keys public keys (base64 of a SubjectPublicKeyInfo, or files in PEM), or ids of keys that
 *   the role has.
 * @throws Fault `usage.invalid`, `release.*`, `trust.invalid`.
 */
export async function changeKeys(
  directory: string,
  role: string,
  keys: readonly string[],
  threshold: number | undefined,
): Promise<RoleKeys> {
  const layout = layoutOf(directory);
  const before = authorityInForce(role, await readRepository(layout));
  if (before === undefined)
    throw new Fault("usage.invalid", `there is no role ${quoted(role)}; the roles are ${ROLES.join(", ")}`);
  const wanted = new Map<string, TufKey>();
  for (const text of keys.length === 0 ? before.role.keyids : keys) {
    const key = before.keys.get(text) ?? tufKeyOf(await publicKeyIn(text));
    const id = before.keys.has(text) ? text : keyIdOf(key);
    if (wanted.has(id)) throw new Fault("usage.invalid", `the key ${id} was given twice; the same key counts once`);
    wanted.set(id, key);
  }
  const needed = threshold ?? before.role.threshold;
  if (needed > wanted.size || wanted.size > ROLE_KEYS_MAX)
    throw new Fault(
      "usage.invalid",
      `"${role}" would have ${wanted.size} keys and need ${needed} of them: expected at most ${ROLE_KEYS_MAX} keys, and no more needed than there are`,
    );
  const change = { threshold: needed, keys: Object.fromEntries(wanted) };
  const changes = { ...(await readKeyChanges(layout)), [role]: change };
  await putFile(keyChangesPath(layout), Buffer.from(JSON.stringify(changes)));
  const { keyids } = before.role;
  return { role, threshold: before.role.threshold, keyids, draft: { threshold: needed, keyids: [...wanted.keys()] } };
}

/** Removes the drafted changes of `roles`. @throws Fault `release.store-failed`. */
export async function dropKeyChanges(layout: WorkshopLayout, roles: readonly string[]): Promise<void> {
  const changes = await readKeyChanges(layout);
  const left = Object.fromEntries(Object.entries(changes).filter(([role]) => !roles.includes(role)));
  if (Object.keys(left).length === Object.keys(changes).length) return;
  await (Object.keys(left).length === 0
    ? removeStaged(keyChangesPath(layout))
    : putFile(keyChangesPath(layout), Buffer.from(JSON.stringify(left))));
}

/**
 * `root` with the changes of the top-level roles. Keys that no role names any more are left out.
 */
export function rootWith(root: RootDraft, changes: KeyChanges): RootDraft {
  const { keys: listed } = check(rootKeysSchema, root, "root", "trust.invalid");
  const roles = { ...root.roles };
  const keys: Record<string, unknown> = { ...listed };
  for (const role of TOP_LEVEL_ROLES) {
    const change = changes[role];
    if (change === undefined) continue;
    roles[role] = { ...roles[role], keyids: Object.keys(change.keys), threshold: change.threshold };
    Object.assign(keys, change.keys);
  }
  const named = new Set(TOP_LEVEL_ROLES.flatMap((role) => roles[role].keyids));
  return { ...root, keys: onlyNamed(keys, named), roles };
}

/** `targets` with the changes of the delegated roles. */
export function targetsWith(targets: TargetsDraft, changes: KeyChanges): TargetsDraft {
  const { delegations } = targets;
  if (delegations === undefined) return targets;
  const keys: Record<string, unknown> = { ...delegations.keys };
  const roles = delegations.roles.map((role) => {
    const change = changes[role.name];
    if (change === undefined || TOP_LEVEL_ROLES.some((each) => each === role.name)) return role;
    Object.assign(keys, change.keys);
    return { ...role, keyids: Object.keys(change.keys), threshold: change.threshold };
  });
  const named = new Set(roles.flatMap(({ keyids }) => keyids));
  return { ...targets, delegations: { ...delegations, keys: onlyNamed(keys, named), roles } };
}

const ROLES: readonly string[] = [...TOP_LEVEL_ROLES, ...DELEGATED_ROLES];

function authorityInForce(role: string, { root, targets }: ReleaseRepository): SigningAuthority | undefined {
  const top = TOP_LEVEL_ROLES.find((each) => each === role);
  if (top !== undefined) return topLevelAuthority(top, root);
  return delegatedAuthority(role, targets.get("targets"));
}

function onlyNamed(keys: Readonly<Record<string, unknown>>, named: ReadonlySet<string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(keys).filter(([id]) => named.has(id)));
}

async function publicKeyIn(text: string): Promise<KeyObject> {
  const der = Buffer.from(text, "base64");
  const isBase64 = der.byteLength > 0 && der.toString("base64") === text;
  const pem = isBase64 ? undefined : await getFile(text, KEY_BYTES_MAX);
  if (!isBase64 && pem === undefined)
    throw new Fault("usage.invalid", `--key "${text}": there is no such file, and it is neither a public key nor a key id`);
  try {
    return pem === undefined ? createPublicKey({ key: der, format: "der", type: "spki" }) : createPublicKey(Buffer.from(pem));
  } catch (error) {
    const given = isBase64 ? quoted(text) : `"${text}"`;
    throw new Fault("usage.invalid", `--key ${given}: expected a public key, as sallyport-release keygen prints it`, {
      cause: error,
    });
  }
}
