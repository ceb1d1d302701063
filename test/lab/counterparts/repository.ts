// A TUF repository in memory that really signs. Its drafts are there to be changed by hand, which is what attackers do.
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

/** A metadata file: `draft` signed by `keys`, whoever they are. */
export function signed(draft: unknown, keys: readonly LabKey[]): Uint8Array {
  const message = canonicalBytes(draft);
  const signatures = keys.map(({ id, privateKey }) => ({ keyid: id, sig: signatureOf(message, privateKey) }));
  return Buffer.from(JSON.stringify({ signatures, signed: draft }, undefined, 1));
}

export function labCustom(change: Partial<TargetCustom> & Pick<TargetCustom, "line">): TargetCustom {
  return { v: 1, counter: 1, hardware: { any: true }, audience: { everyone: true }, ...change };
}

export interface LabRepository {
  readonly root: RootDraft;
  readonly timestamp: MetaFilesDraft;
  readonly snapshot: MetaFilesDraft;
  readonly targets: TargetsDraft;
  /** Delegated roles by name. */
  readonly roles: Map<string, TargetsDraft>;
  /** Who signs, by role. */
  readonly signers: Map<string, LabKey[]>;
  /** What is served, by name below `metadata/`. */
  readonly files: Map<string, Uint8Array>;
  /** Target files by name below `targets/`. */
  readonly payloads: Map<string, Uint8Array>;
  /** Names that were asked for. */
  readonly asked: string[];
  readonly fetch: Fetch;
  /** Root version 1, as an image would carry it. */
  readonly imageRoot: Uint8Array;
  readonly signersOf: (role: string) => LabKey[];
  readonly roleOf: (role: string) => TargetsDraft;
  /** Raises the versions of these roles, of snapshot where it names one of them, and of the timestamp; signs and serves them. */
  readonly publish: (...roles: readonly string[]) => void;
  /** Signs and serves one role as its draft is. */
  readonly serve: (role: string) => Uint8Array;
  /** A new key in place of those of a top-level role; root is not published by it. */
  readonly rotate: (role: "root" | "timestamp" | "snapshot" | "targets") => void;
  readonly delegate: (delegator: string, name: string, paths: readonly string[], terminating?: boolean) => TargetsDraft;
  readonly addTarget: (role: string, path: string, content: string, custom?: unknown) => void;
}

/** Root, timestamp, snapshot, targets and the roles of the design, one ed25519 key each, all published as version 1. */
export function labRepository(): LabRepository {
  const expires = daysFromNow(30);
  const draft = (_type: string): Draft => ({ _type, spec_version: "1.0.34", version: 1, expires });
  const signers = new Map<string, LabKey[]>();
  const files = new Map<string, Uint8Array>();
  const asked: string[] = [];
  const roles = new Map<string, TargetsDraft>();
  const newKey = (role: string): LabKey => {
    const key = labKey();
    signers.set(role, [key]);
    return key;
  };
  const top = { root: newKey("root"), timestamp: newKey("timestamp"), snapshot: newKey("snapshot"), targets: newKey("targets") };
  const own = ({ id }: LabKey): RoleDraft => ({ keyids: [id], threshold: 1 });
  const root: RootDraft = {
    ...draft("root"),
    consistent_snapshot: true,
    keys: Object.fromEntries(Object.values(top).map(({ id, key }) => [id, key])),
    roles: { root: own(top.root), timestamp: own(top.timestamp), snapshot: own(top.snapshot), targets: own(top.targets) },
  };
  const timestamp: MetaFilesDraft = { ...draft("timestamp"), meta: { "snapshot.json": { version: 1 } } };
  const snapshot: MetaFilesDraft = { ...draft("snapshot"), meta: { "targets.json": { version: 1 } } };
  const targets: TargetsDraft = { ...draft("targets"), targets: {} };

  const signersOf = (role: string): LabKey[] => signers.get(role) ?? [];
  const roleOf = (role: string): TargetsDraft => {
    const found = role === "targets" ? targets : roles.get(role);
    assert(found !== undefined, `the lab's repository has the role "${role}"`);
    return found;
  };
  const draftOf = (role: string): Draft =>
    role === "root" ? root : role === "timestamp" ? timestamp : role === "snapshot" ? snapshot : roleOf(role);
  const serve = (role: string): Uint8Array => {
    const one = draftOf(role);
    const bytes = signed(one, signersOf(role));
    const versioned = role !== "timestamp" && (role === "root" || root.consistent_snapshot);
    files.set(metadataName(role, versioned ? one.version : undefined), bytes);
    return bytes;
  };
  const delegate = (delegator: string, name: string, paths: readonly string[], terminating = false): TargetsDraft => {
    const { id, key } = signersOf(name)[0] ?? newKey(name);
    const from = roleOf(delegator);
    from.delegations ??= { keys: {}, roles: [] };
    from.delegations.keys[id] = key;
    from.delegations.roles.push({ name, keyids: [id], threshold: 1, terminating, paths: [...paths] });
    const made = roles.get(name) ?? { ...draft("targets"), targets: {} };
    roles.set(name, made);
    snapshot.meta[`${name}.json`] = { version: made.version };
    return made;
  };
  const payloads = new Map<string, Uint8Array>();

  for (const role of DELEGATED_ROLES) delegate("targets", role, [`${role}/*`], true);
  for (const role of ["root", "timestamp", "snapshot", "targets", ...DELEGATED_ROLES]) serve(role);

  return {
    root,
    timestamp,
    snapshot,
    targets,
    roles,
    signers,
    files,
    payloads,
    asked,
    imageRoot: Uint8Array.from(files.get("1.root.json") ?? []),
    fetch: async (name) => {
      asked.push(name);
      return files.get(name);
    },
    signersOf,
    roleOf,
    serve,
    publish: (...changed) => {
      for (const role of changed) {
        draftOf(role).version += 1;
        const bytes = serve(role);
        if (role in root.roles && role !== "targets") continue;
        const { length, hashes } = snapshot.meta[`${role}.json`] ?? {};
        snapshot.meta[`${role}.json`] = {
          version: draftOf(role).version,
          ...(length === undefined ? {} : { length: bytes.byteLength }),
          ...(hashes === undefined ? {} : { hashes: { sha256: sha256(bytes) } }),
        };
      }
      const below = changed.some((role) => !["root", "snapshot", "timestamp"].includes(role));
      if (below) snapshot.version += 1;
      if (below || changed.includes("snapshot")) {
        const bytes = serve("snapshot");
        const hashed = timestamp.meta["snapshot.json"]?.hashes !== undefined;
        timestamp.meta["snapshot.json"] = {
          version: snapshot.version,
          ...(hashed ? { length: bytes.byteLength, hashes: { sha256: sha256(bytes) } } : {}),
        };
        if (!changed.includes("timestamp")) timestamp.version += 1;
        serve("timestamp");
      }
    },
    rotate: (role) => {
      const { id, key } = newKey(role);
      root.keys[id] = key;
      root.roles[role] = { keyids: [id], threshold: 1 };
    },
    delegate,
    addTarget: (role, path, content, custom) => {
      const bytes = Buffer.from(content);
      const hash = sha256(bytes);
      roleOf(role).targets[path] = {
        length: bytes.byteLength,
        hashes: { sha256: hash },
        ...(custom === undefined ? {} : { custom }),
      };
      payloads.set(targetName(path, root.consistent_snapshot ? hash : undefined), bytes);
    },
  };
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
