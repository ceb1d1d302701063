// A TUF repository in memory that really signs. A test may change its drafts, as an attacker would.
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { assert } from "../../../hal/fault.ts";
import {
  canonicalBytes,
  DELEGATED_ROLES,
  keyIdOf,
  metadataName,
  momentText,
  signatureOf,
  targetName,
  type TargetCustom,
  type TufKey,
  tufKeyOf,
} from "../../../ota/trust/format/index.ts";
import type { Fetch } from "../../../ota/trust/index.ts";

/** The time of these tests. */
export const NOW_MS = Date.UTC(2027, 2, 1, 12);
const DAY_MS = 86_400_000;

export function daysFromNow(days: number): string {
  return momentText(NOW_MS + days * DAY_MS);
}

export interface LabKey {
  readonly id: string;
  readonly key: TufKey;
  readonly privateKey: KeyObject;
}

export function labKey(kind: "ed25519" | "ecdsa" | "rsa" | "ml-dsa-65" = "ed25519"): LabKey {
  const { privateKey } = keyPair(kind);
  const key = tufKeyOf(privateKey);
  return { id: keyIdOf(key), key, privateKey };
}

function keyPair(kind: "ed25519" | "ecdsa" | "rsa" | "ml-dsa-65"): { readonly privateKey: KeyObject } {
  switch (kind) {
    case "ed25519":
      return generateKeyPairSync("ed25519");
    case "ecdsa":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "rsa":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    case "ml-dsa-65":
      return generateKeyPairSync("ml-dsa-65");
  }
}

interface Draft {
  _type: string;
  spec_version: string;
  version: number;
  expires: string;
  signedAt?: string;
}
export interface RoleDraft {
  keyids: string[];
  threshold: number;
}
export interface RootDraft extends Draft {
  consistent_snapshot: boolean;
  keys: Record<string, unknown>;
  roles: Record<"root" | "timestamp" | "snapshot" | "targets", RoleDraft>;
}
export interface MetaDraft {
  version: number;
  length?: number;
  hashes?: Record<string, string>;
}
export interface MetaFilesDraft extends Draft {
  meta: Record<string, MetaDraft>;
}
export interface DelegationDraft extends RoleDraft {
  name: string;
  terminating: boolean;
  paths: string[];
}
export interface TargetsDraft extends Draft {
  targets: Record<string, { length: number; hashes: Record<string, string>; custom?: unknown }>;
  delegations?: { keys: Record<string, unknown>; roles: DelegationDraft[] };
}

/** A metadata file: `draft` signed by `keys`, whichever these are. */
export function signed(draft: unknown, keys: readonly LabKey[]): Uint8Array {
  const message = canonicalBytes(draft);
  const signatures = keys.map(({ id, privateKey }) => ({ keyid: id, sig: signatureOf(message, privateKey) }));
  return Buffer.from(JSON.stringify({ signatures, signed: draft }, undefined, 1));
}

export function labCustom(change: Partial<TargetCustom> & Pick<TargetCustom, "line">): TargetCustom {
  return { v: 1, counter: 1, hardware: { any: true }, audience: { everyone: true }, ...change };
}

/**
 * Root, timestamp, snapshot, targets and the roles of the design, one Ed25519 key each, all at
 * version 1.
 */
export function labRepository(): LabRepository {
  return new LabRepository();
}

export class LabRepository {
  readonly root: RootDraft;
  readonly timestamp: MetaFilesDraft = { ...draftOf("timestamp"), meta: { "snapshot.json": { version: 1 } } };
  readonly snapshot: MetaFilesDraft = { ...draftOf("snapshot"), meta: { "targets.json": { version: 1 } } };
  readonly targets: TargetsDraft = { ...draftOf("targets"), targets: {} };
  /** Delegated roles by name. */
  readonly roles = new Map<string, TargetsDraft>();
  /** The keys that sign, by role. */
  readonly signers = new Map<string, LabKey[]>();
  /** Metadata files that are served, by name below `metadata/`. */
  readonly files = new Map<string, Uint8Array>();
  /** Target files that are served, by name below `targets/`. */
  readonly payloads = new Map<string, Uint8Array>();
  /** The names that {@link fetch} was asked for. */
  readonly asked: string[] = [];
  /** Root version 1, as an image carries it. */
  readonly imageRoot: Uint8Array;

  constructor() {
    const keys = TOP_ROLES.map((role) => [role, this.#newKey(role)] as const);
    const [root, timestamp, snapshot, targets] = keys.map(([, { id }]): RoleDraft => ({ keyids: [id], threshold: 1 }));
    assert(root !== undefined && timestamp !== undefined && snapshot !== undefined && targets !== undefined, "four roles");
    this.root = {
      ...draftOf("root"),
      consistent_snapshot: true,
      keys: Object.fromEntries(keys.map(([, { id, key }]) => [id, key])),
      roles: { root, timestamp, snapshot, targets },
    };
    for (const role of DELEGATED_ROLES) this.delegate("targets", role, [`${role}/*`], true);
    for (const role of [...TOP_ROLES, ...DELEGATED_ROLES]) this.serve(role);
    this.imageRoot = Uint8Array.from(this.files.get("1.root.json") ?? []);
  }

  // Properties, because tests pass and destructure them as functions.
  readonly fetch: Fetch = async (name) => {
    this.asked.push(name);
    return this.files.get(name);
  };

  readonly signersOf = (role: string): LabKey[] => this.signers.get(role) ?? [];

  /** Signs and serves one role as its draft is. */
  readonly serve = (role: string): Uint8Array => {
    const draft = this.#draft(role);
    const bytes = signed(draft, this.signersOf(role));
    const versioned = role !== "timestamp" && (role === "root" || this.root.consistent_snapshot);
    this.files.set(metadataName(role, versioned ? draft.version : undefined), bytes);
    return bytes;
  };

  /**
   * Raises the versions of these roles, of snapshot where it names one of them, and of timestamp;
   * signs and serves them.
   */
  readonly publish = (...changed: readonly string[]): void => {
    for (const role of changed) this.#publishRole(role);
    const below = changed.some((role) => !["root", "snapshot", "timestamp"].includes(role));
    if (below) this.snapshot.version += 1;
    if (!below && !changed.includes("snapshot")) return;
    const bytes = this.serve("snapshot");
    const hashed = this.timestamp.meta["snapshot.json"]?.hashes !== undefined;
    this.timestamp.meta["snapshot.json"] = {
      version: this.snapshot.version,
      ...(hashed ? { length: bytes.byteLength, hashes: { sha256: sha256(bytes) } } : {}),
    };
    if (!changed.includes("timestamp")) this.timestamp.version += 1;
    this.serve("timestamp");
  };

  roleOf(role: string): TargetsDraft {
    const found = role === "targets" ? this.targets : this.roles.get(role);
    assert(found !== undefined, `the lab's repository has the role "${role}"`);
    return found;
  }

  /** Replaces the keys of a top-level role by a new one. This does not publish root. */
  rotate(role: (typeof TOP_ROLES)[number]): void {
    const { id, key } = this.#newKey(role);
    this.root.keys[id] = key;
    this.root.roles[role] = { keyids: [id], threshold: 1 };
  }

  delegate(delegator: string, name: string, paths: readonly string[], terminating = false): TargetsDraft {
    const { id, key } = this.signersOf(name)[0] ?? this.#newKey(name);
    const from = this.roleOf(delegator);
    from.delegations ??= { keys: {}, roles: [] };
    from.delegations.keys[id] = key;
    from.delegations.roles.push({ name, keyids: [id], threshold: 1, terminating, paths: [...paths] });
    const made = this.roles.get(name) ?? { ...draftOf("targets"), targets: {} };
    this.roles.set(name, made);
    this.snapshot.meta[`${name}.json`] = { version: made.version };
    return made;
  }

  addTarget(role: string, path: string, content: string, custom?: unknown): void {
    const bytes = Buffer.from(content);
    const hash = sha256(bytes);
    this.roleOf(role).targets[path] = {
      length: bytes.byteLength,
      hashes: { sha256: hash },
      ...(custom === undefined ? {} : { custom }),
    };
    this.payloads.set(targetName(path, this.root.consistent_snapshot ? hash : undefined), bytes);
  }

  /**
   * Raises the version of one role and serves it, and names it in snapshot when it belongs there.
   */
  #publishRole(role: string): void {
    const draft = this.#draft(role);
    draft.version += 1;
    const bytes = this.serve(role);
    if (role in this.root.roles && role !== "targets") return;
    const { length, hashes } = this.snapshot.meta[`${role}.json`] ?? {};
    this.snapshot.meta[`${role}.json`] = {
      version: draft.version,
      ...(length === undefined ? {} : { length: bytes.byteLength }),
      ...(hashes === undefined ? {} : { hashes: { sha256: sha256(bytes) } }),
    };
  }

  #draft(role: string): Draft {
    if (role === "root") return this.root;
    if (role === "timestamp") return this.timestamp;
    return role === "snapshot" ? this.snapshot : this.roleOf(role);
  }

  #newKey(role: string): LabKey {
    const key = labKey();
    this.signers.set(role, [key]);
    return key;
  }
}

const TOP_ROLES = ["root", "timestamp", "snapshot", "targets"] as const;

function draftOf(type: string): Draft {
  return { _type: type, spec_version: "1.0.34", version: 1, expires: daysFromNow(30) };
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
