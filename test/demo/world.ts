// The demo's world: the real parts that this machine offers the simulated board, and what is
// missing and why.
import { startProbe, type Probe } from "../lab/counterparts/network-probe.ts";
import { createLauncher, type Launcher } from "../lab/worlds/launcher.ts";
import { needs } from "../lab/runner/needs.ts";
import { type BoardNetwork, startBoardNetwork } from "../lab/counterparts/netns.ts";
import { makeKeyHolder, type KeyHolder } from "../lab/counterparts/operator-keys.ts";
import { type PtyPair, startPtyPair } from "../lab/counterparts/pty.ts";
import { AGENT_UID, buildRig, DEFAULT_MAC, type Rig } from "../lab/worlds/rig.ts";
import { startSwtpm, type Swtpm } from "../lab/counterparts/swtpm.ts";
import { imageNetwork, makeReleases, type Releases } from "./published.ts";

/** After this many seconds the timer outside ends a trial; the warden must be faster. */
const TIMER_S = 60;

export interface World {
  readonly rig: Rig;
  /** The board's boot loader and service manager. */
  readonly launcher: Launcher;
  /** The person whose key the roster names. */
  readonly technician: KeyHolder;
  /** Made, not published yet. */
  readonly releases: Releases;
  /** Sets the trial time of a new system in seconds, from the warden's next start on. */
  readonly setTrialS: (trialS: number) => Promise<void>;
  readonly tpm: Swtpm | undefined;
  readonly cable: PtyPair | undefined;
  readonly network: BoardNetwork | undefined;
  /** A peer at each end of the board's cable: its services, and the outsider who tries them. */
  readonly ends: { readonly board: Probe; readonly outside: Probe } | undefined;
  /** What this machine cannot show, and why. */
  readonly missing: readonly { readonly what: string; readonly why: string }[];
  stop(): Promise<void>;
}

/** Sets everything up; removes what was set up when a later part fails. */
export async function buildWorld(onLine: (program: string, line: string) => void): Promise<World> {
  const undo = new AsyncDisposableStack();
  try {
    return await layOut(undo, onLine);
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}

async function layOut(undo: AsyncDisposableStack, onLine: (program: string, line: string) => void): Promise<World> {
  const missing: { what: string; why: string }[] = [];
  const lacks = (what: string, why: string | false): boolean => {
    if (why !== false) missing.push({ what, why });
    return why !== false;
  };
  const twoUsers = process.getuid?.() === 0;
  lacks(
    "agent and warden as two users",
    twoUsers ? false : "needs root; both run as one user here, so file and socket modes prove nothing",
  );
  const network = lacks("a network namespace for the board", needs("netns")) ? undefined : startBoardNetwork(DEFAULT_MAC);
  undo.defer(() => network?.stop());
  const watch = async (prefix: readonly string[], name: string): Promise<Probe> => {
    const watcher = await startProbe(prefix, name);
    undo.defer(() => watcher.stop());
    return watcher;
  };
  const ends = network && { board: await watch(network.prefix, "services"), outside: await watch([], "outside") };
  const noTpm = needs("swtpm", "tpm2-provider", "openssl");
  const tpm = lacks("a TPM (swtpm): the key lies in a file", noTpm)
    ? undefined
    : await startSwtpm(network === undefined ? {} : { prefix: network.prefix });
  undo.defer(() => tpm?.stop());
  const cable = lacks("a serial line (pty)", needs("socat"))
    ? undefined
    : await startPtyPair(twoUsers ? { deviceUser: AGENT_UID } : {});
  undo.defer(() => cable?.stop());
  const agentConfig = {
    ...(cable !== undefined && { console: { path: cable.devicePath } }),
    ...(tpm === undefined && { key: { protection: "file" } }),
  };
  const rig = await buildRig({
    tpm: tpm?.tcti,
    ...(network !== undefined && { hubAddress: network.hubAddress, boardPrefix: network.prefix }),
    agentConfig,
    basePolicy: () => ({ name: "image", network: imageNetwork() }),
    onLine,
  });
  undo.defer(() => rig.stop());
  const launcher = createLauncher(rig, { timerS: () => TIMER_S });
  undo.defer(() => launcher.stop());
  const technician = await makeKeyHolder(rig.directory, "ada");
  const releases = await makeReleases(rig.release);
  const setTrialS = (trialS: number): Promise<void> => rig.configure({ agentConfig, wardenConfig: { update: { trialS } } });
  return { rig, launcher, technician, releases, setTrialS, tpm, cable, network, ends, missing, stop: () => undo.disposeAsync() };
}
