// `sallyport-release init`: makes keys and an empty repository. [OTA-14]
import { Fault } from "../../hal/fault.ts";
import { DELEGATED_ROLES, momentText, TOP_LEVEL_ROLES } from "../../ota/trust/format/index.ts";
import { signed } from "./drafts.ts";
import { putFile } from "./files.ts";
import { makeSigner, type ReleaseSigner } from "./keys.ts";
import { layoutOf, metadataPath } from "./layout.ts";
import { OFFLINE_EXPIRY_DAYS, ONLINE_EXPIRY_DAYS, ROOT_EXPIRY_DAYS } from "./limits.ts";
import { isRepository } from "./repository.ts";

const SPEC_VERSION = "1.0.34";
const DAY_MS = 86_400_000;

export function expiryFrom(nowMs: number, days: number): string {
  return momentText(nowMs + days * DAY_MS);
}

/**
 * @returns the path of the root for the devices' image, and the directory of the keys.
 * @throws Fault `release.already-initialised`, `release.key-unusable`, `release.store-failed`.
 */
export async function initialise(directory: string, nowMs: number): Promise<{ readonly root: string; readonly keys: string }> {
  const layout = layoutOf(directory);
  if (await isRepository(layout))
    throw new Fault(
      "release.already-initialised",
      `there is already a repository in ${directory}; add to it, or choose another directory`,
    );

  const signers = new Map<string, ReleaseSigner>();
  for (const role of [...TOP_LEVEL_ROLES, ...DELEGATED_ROLES]) signers.set(role, await makeSigner(layout, role));
  const write = async (role: string, draft: object): Promise<void> => {
    const signer = signers.get(role);
    const complete = {
      _type: DELEGATED_ROLES.some((one) => one === role) ? "targets" : role,
      spec_version: SPEC_VERSION,
      version: 1,
      ...draft,
    };
    const bytes = signed(complete, signer === undefined ? [] : [signer]);
    await putFile(metadataPath(layout, role, role === "timestamp" ? undefined : 1), bytes);
  };
  const keysOf = (roles: readonly string[]): object =>
    Object.fromEntries([...signers].flatMap(([role, { id, key }]) => (roles.includes(role) ? [[id, key]] : [])));
  const roleOf = (role: string): object => ({ keyids: [signers.get(role)?.id], threshold: 1 });
  const offline = { signedAt: momentText(nowMs), expires: expiryFrom(nowMs, OFFLINE_EXPIRY_DAYS) };
  const online = { expires: expiryFrom(nowMs, ONLINE_EXPIRY_DAYS) };

  await write("root", {
    ...offline,
    expires: expiryFrom(nowMs, ROOT_EXPIRY_DAYS),
    consistent_snapshot: true,
    keys: keysOf(TOP_LEVEL_ROLES),
    roles: Object.fromEntries(TOP_LEVEL_ROLES.map((role) => [role, roleOf(role)])),
  });
  for (const role of DELEGATED_ROLES) await write(role, { ...offline, targets: {} });
  await write("targets", {
    ...offline,
    targets: {},
    delegations: {
      keys: keysOf(DELEGATED_ROLES),
      roles: DELEGATED_ROLES.map((name) => ({ name, ...roleOf(name), terminating: true, paths: [`${name}/*`] })),
    },
  });
  const names = ["targets", ...DELEGATED_ROLES].map((role) => `${role}.json`);
  await write("snapshot", { ...online, meta: Object.fromEntries(names.map((name) => [name, { version: 1 }])) });
  await write("timestamp", { ...online, meta: { "snapshot.json": { version: 1 } } });
  return { root: metadataPath(layout, "root", 1), keys: layout.keys };
}
