// A TPM for its owner, by our own commands: over the kernel's resource manager, or a simulator's
// socket. What a password is needed for runs in a session that is salted to the storage root, so
// that neither a password nor a key's secret is readable on the bus. [ID-51]
import { access } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../fault.ts";
import type { ChipAuths, ChipCredential, ChipHierarchy, TpmChip } from "../../ports.ts";
import {
  activateCredential,
  type Authorization,
  clearControl,
  createPrimary,
  dictionaryAttackParameters,
  ENDORSEMENT_TEMPLATE,
  evictControl,
  getRandom,
  HANDLE,
  hierarchyChangeAuth,
  load,
  nvDefineSpace,
  nvRead,
  nvReadPublic,
  nvUndefineSpace,
  NO_PASSWORD,
  PERSISTENT,
  permanent,
  policySecret,
  readPublicOf,
  readTss2Pem,
  startSession,
  STORAGE_TEMPLATE,
  type Tpm,
  type TpmSession,
  useTpm,
  wayOf,
} from "../tpm/index.ts";
import { createMutex } from "../../mutex.ts";
import {
  COUNTER_ATTRIBUTES,
  COUNTER_BYTES,
  COUNTER_INDEX,
  hexOf,
  isMissing,
  isStorageRoot,
  readPulse,
  readView,
} from "./looking.ts";

/**
 * Bound of one command. A chip answers within a second, and one that makes a key within some
 * seconds; the kernel itself gives up after minutes.
 */
const TIMEOUT_MS = 30_000;
const SLOW_TIMEOUT_MS = 60_000;

/** Where the firmware tells of a TPM 2.0. (TCG ACPI Specification) */
const FIRMWARE_TABLE = "sys/firmware/acpi/tables/TPM2";

export interface LinuxTpmChipOptions {
  /** The way to the chip in tss2's notation, such as `device:/dev/tpmrm0`. */
  readonly tcti: string;
  /** Root of /sys. */
  readonly root?: string;
  readonly timeoutMs?: number;
}

/** @throws Fault `tpm.invalid` for a way that is not known. */
export function linuxTpmChip({ tcti, root = "/", timeoutMs }: LinuxTpmChipOptions): TpmChip {
  const way = wayOf(tcti);
  const bounds = { timeoutMs: timeoutMs ?? TIMEOUT_MS, slowTimeoutMs: timeoutMs ?? SLOW_TIMEOUT_MS };
  const exclusively = createMutex();
  const hanging = createHangGuard(tcti);
  const use = <T>(work: (tpm: Tpm) => Promise<T>): Promise<T> =>
    exclusively(async () => {
      hanging.check();
      return await useTpm(tcti, work, { ...bounds, onHang: hanging.onHang });
    });
  return {
    presence: async () => {
      if (!("device" in way) || (await isThere(way.device))) return "present";
      return (await isThere(join(root, FIRMWARE_TABLE))) ? "expected" : "absent";
    },
    pulse: () => use(readPulse),
    look: () => use(readView),
    random: (bytes) => use((tpm) => getRandom(tpm, bytes)),
    proves: (what, auths) => use((tpm) => isRight(tpm, what, auths)),
    keepStorageRoot: (auths) => use((tpm) => keepStorageRoot(tpm, auths)),
    keepEndorsementKey: (auths) => use((tpm) => keepEndorsementKey(tpm, auths)),
    defineCounter: (auths) =>
      use((tpm) =>
        salted(tpm, async (session) => {
          const area = {
            index: COUNTER_INDEX,
            attributes: COUNTER_ATTRIBUTES,
            authPolicy: new Uint8Array(),
            bytes: COUNTER_BYTES,
          };
          await nvDefineSpace(tpm, area, { password: auths.counter, auth: by(session, auths.owner) });
        }),
      ),
    undefineCounter: (auths) =>
      use(async (tpm) => {
        const index = await nvReadPublic(tpm, COUNTER_INDEX);
        await salted(tpm, (session) => nvUndefineSpace(tpm, index, by(session, auths.owner)));
      }),
    limitTries: (limits, auths) =>
      use((tpm) => salted(tpm, (session) => dictionaryAttackParameters(tpm, limits, by(session, auths.lockout)))),
    forbidClear: (auths) => use((tpm) => salted(tpm, (session) => clearControl(tpm, true, by(session, auths.lockout)))),
    allowClear: () => use(allowClear),
    setPassword: (of, password, auths) =>
      use((tpm) => salted(tpm, (session) => hierarchyChangeAuth(tpm, HANDLE[of], password, by(session, auths[of])))),
    evict: (what, auths) =>
      use(async (tpm) => {
        const handle = what === "storage" ? PERSISTENT.storageRoot : PERSISTENT.endorsement;
        const key = await readPublicOf(tpm, handle);
        await salted(tpm, (session) => evictControl(tpm, key, handle, by(session, auths.owner)));
      }),
    activate: (key, credential, auths) => use((tpm) => activate(tpm, key, credential, auths)),
  };
}

/**
 * A command that hangs in the kernel occupies a thread of Node's pool, which files and child
 * processes need too. So at most one of them is left behind, and nothing is asked until it ended.
 */
function createHangGuard(tcti: string): { readonly check: () => void; readonly onHang: (ended: Promise<void>) => void } {
  let hung = 0;
  return {
    check: () => {
      if (hung > 0)
        throw new Fault("tpm.timeout", `the TPM at "${tcti}" still owes an answer; if this lasts, power-cycle the device`);
    },
    onHang: (ended) => {
      hung += 1;
      void ended.then(() => (hung -= 1));
    },
  };
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The right of a hierarchy or an index: only an HMAC with the password leaves this process. */
function by(session: TpmSession, auth: Uint8Array): Authorization {
  return { kind: "hmac", session, auth };
}

/**
 * Works in a session whose secret only this chip can learn. Before there is a storage root, a key
 * of the null hierarchy serves, which needs no password.
 */
async function salted<T>(tpm: Tpm, work: (session: TpmSession) => Promise<T>): Promise<T> {
  await using session = await startSalted(tpm, "hmac");
  return await work(session);
}

async function startSalted(tpm: Tpm, kind: "hmac" | "policy"): Promise<TpmSession> {
  const root = await storageRoot(tpm);
  if (root !== undefined && isStorageRoot(root.area)) return await startSession(tpm, kind, root);
  await using passing = await createPrimary(tpm, HANDLE.null, STORAGE_TEMPLATE);
  return await startSession(tpm, kind, passing);
}

async function storageRoot(tpm: Tpm): Promise<Awaited<ReturnType<typeof readPublicOf>> | undefined> {
  try {
    return await readPublicOf(tpm, PERSISTENT.storageRoot);
  } catch (error) {
    if (isMissing(error) || (error instanceof Fault && error.code === "tpm.protocol")) return undefined;
    throw error;
  }
}

async function keepStorageRoot(tpm: Tpm, auths: ChipAuths): ReturnType<TpmChip["keepStorageRoot"]> {
  await using session = await startSalted(tpm, "hmac");
  await using standard = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE, { auth: by(session, auths.owner) });
  const kept = await storageRoot(tpm);
  if (kept === undefined) await evictControl(tpm, standard, PERSISTENT.storageRoot, by(session, auths.owner));
  return { name: hexOf(kept?.name ?? standard.name), standard: hexOf(standard.name) };
}

async function keepEndorsementKey(tpm: Tpm, auths: ChipAuths): Promise<string> {
  await using session = await startSalted(tpm, "hmac");
  await using key = await derivedEndorsementKey(tpm, session, auths);
  try {
    await evictControl(tpm, key, PERSISTENT.endorsement, by(session, auths.owner));
  } catch (error) {
    // Without it the key is derived for each use: another key lies there, or the chip is full.
    const isDispensable = error instanceof Fault && (error.code === "tpm.exists" || error.code === "tpm.nv-full");
    if (!isDispensable) throw error;
  }
  return hexOf(key.name);
}

function derivedEndorsementKey(tpm: Tpm, session: TpmSession, auths: ChipAuths): ReturnType<typeof createPrimary> {
  return createPrimary(tpm, HANDLE.endorsement, ENDORSEMENT_TEMPLATE, { auth: by(session, auths.endorsement) });
}

/** A hierarchy proves its password by a policy that is thrown away, the counter by being read. */
async function isRight(tpm: Tpm, what: ChipHierarchy | "counter", auths: ChipAuths): Promise<boolean> {
  await using session = await startSalted(tpm, "hmac");
  const auth = by(session, auths[what]);
  try {
    if (what === "counter") await nvRead(tpm, await nvReadPublic(tpm, COUNTER_INDEX), "index", auth);
    else {
      await using policy = await startSession(tpm, "policy");
      await policySecret(tpm, policy, permanent(HANDLE[what]), auth);
    }
    return true;
  } catch (error) {
    // The password is checked first.
    if (error instanceof Fault && error.code === "tpm.nv-unwritten") return true;
    if (error instanceof Fault && error.code === "tpm.auth-failed") return false;
    throw error;
  }
}

/** Firmware sets a random platform password, or shuts the platform hierarchy, before it boots. */
async function allowClear(tpm: Tpm): Promise<boolean> {
  try {
    await clearControl(tpm, false, NO_PASSWORD, "platform");
    return true;
  } catch (error) {
    if (error instanceof Fault && (error.code === "tpm.auth-failed" || error.code === "tpm.refused")) return false;
    throw error;
  }
}

async function activate(tpm: Tpm, keyPem: string, credential: ChipCredential, auths: ChipAuths): Promise<Uint8Array> {
  const parent = await readPublicOf(tpm, PERSISTENT.storageRoot);
  await using object = await load(tpm, parent, readTss2Pem(keyPem));
  await using session = await startSalted(tpm, "hmac");
  await using policy = await startSalted(tpm, "policy");
  await policySecret(tpm, policy, permanent(HANDLE.endorsement), by(session, auths.endorsement));
  await using key = await endorsementKey(tpm, session, auths);
  return await activateCredential(tpm, { object, key }, credential, [NO_PASSWORD, { kind: "policy", session: policy }]);
}

/** The persistent one where it is the right one. */
async function endorsementKey(tpm: Tpm, session: TpmSession, auths: ChipAuths) {
  const { endorsement } = await readView(tpm);
  if (endorsement?.isFit !== true) return await derivedEndorsementKey(tpm, session, auths);
  return { ...(await readPublicOf(tpm, PERSISTENT.endorsement)), [Symbol.asyncDispose]: async () => undefined };
}
