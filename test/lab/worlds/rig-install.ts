// What a rig installs before its programs start: Node, the bundles, the TPM provider, the files of
// the image, and who owns what.
import { chmod, chown, copyFile, cp, link, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageFacts } from "../../../ota/format/image.ts";
import { tpm2Provider } from "../runner/needs.ts";
import { PROJECT } from "../runner/sources.ts";
import { type Board, HARDWARE } from "./board.ts";
import type { ReleaseTool } from "./release-tool.ts";
import { readSystemHeader } from "./system-image.ts";

/** The agent's user when the tests run as root: a number is enough, no account is made. */
export const AGENT_UID = 64_199;

/** Writes what the image carries: its version, its root of trust and its policy. */
export async function writeImageFiles(board: Board, release: ReleaseTool, policy: object): Promise<void> {
  const { version, counter } = await readSystemHeader(board.slots.a);
  const facts: ImageFacts = { v: 1, version, hardware: HARDWARE, counter };
  await writeFile(join(board.etc, "image.json"), JSON.stringify(facts), { mode: 0o644 });
  await writeFile(join(board.etc, "policy.json"), JSON.stringify(policy), { mode: 0o644 });
  await copyFile(release.root, join(board.etc, "root.json"));
  await chmod(join(board.etc, "root.json"), 0o644);
}

/**
 * Puts the pinned Node where both users may run it: the checkout may lie in a home directory that
 * the agent's user cannot enter.
 */
export async function installNode(directory: string): Promise<string> {
  const target = join(directory, "opt", "node");
  await mkdir(join(directory, "opt"), { recursive: true, mode: 0o755 });
  try {
    await link(process.execPath, target);
  } catch {
    await copyFile(process.execPath, target); // another file system, or hard links forbidden
  }
  await chmod(target, 0o755);
  return target;
}

/** Puts OpenSSL's tpm2 provider there, for the same reason. */
export async function installProvider(
  directory: string,
): Promise<{ readonly module: string; readonly libraryPath: string } | undefined> {
  const provider = tpm2Provider();
  if (provider === undefined) return undefined;
  const libraryPath = join(directory, "opt", "tpm2");
  await cp(provider.libraryPath, libraryPath, { recursive: true, verbatimSymlinks: true });
  return { module: provider.module.replace(provider.libraryPath, libraryPath), libraryPath };
}

export async function installBundles(directory: string): Promise<void> {
  await cp(join(PROJECT, "dist"), join(directory, "opt"), { recursive: true });
}

/**
 * Sets the owners as on a device: the warden's directories are root's, the agent's are the agent's.
 */
export async function setOwners(board: Board, twoUsers: boolean): Promise<void> {
  const owner = twoUsers ? AGENT_UID : (process.getuid?.() ?? 0);
  const group = twoUsers ? AGENT_UID : (process.getgid?.() ?? 0);
  for (const place of [board.agentState, board.agentRun]) {
    await chown(place, owner, group);
    await chmod(place, 0o700);
  }
  // [OPS-1] The directory decides who may connect to the warden: root and the agent's group, which
  // the socket inherits.
  if (twoUsers) await chown(board.run, 0, group);
  await chmod(board.run, 0o2750);
}
