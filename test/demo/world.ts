// The demo's world: which real parts this machine gives the simulated board, and what is left out and why.
import { startProbe, type Probe } from "../lab/counterparts/network-probe.ts";
import { createLauncher, type Launcher } from "../lab/worlds/launcher.ts";
import { needs } from "../lab/runner/needs.ts";
import { type BoardNetwork, startBoardNetwork } from "../lab/counterparts/netns.ts";
import { makeKeyHolder, type KeyHolder } from "../lab/counterparts/operator-keys.ts";
import { type PtyPair, startPtyPair } from "../lab/counterparts/pty.ts";
import { AGENT_UID, buildRig, DEFAULT_MAC, type Rig } from "../lab/worlds/rig.ts";
import { startSwtpm, type Swtpm } from "../lab/counterparts/swtpm.ts";
import { imageNetwork, makeReleases, type Releases } from "./published.ts";

/** Seconds after which the timer outside leaves a system on trial: the warden is to be first. */
const TIMER_S = 60;

export interface World {
  readonly rig: Rig;
  /** Boot loader and systemd of the board. */
  readonly launcher: Launcher;
  /** Whose key the roster will name. */
  readonly technician: KeyHolder;
  /** Made at the signing desk, not published yet. */
  readonly releases: Releases;
  /** Seconds that a new system is given to be well; counts from the warden's next start. */
  readonly setTrialS: (trialS: number) => Promise<void>;
  readonly tpm: Swtpm | undefined;
  readonly cable: PtyPair | undefined;
  readonly network: BoardNetwork | undefined;
  /** Somebody at each end of its cable: the board's services, and who tries them from here. */
  readonly ends: { readonly board: Probe; readonly outside: Probe } | undefined;
  /** What this machine can't show, and why. */
  readonly missing: readonly { readonly what: string; readonly why: string }[];
  stop(): Promise<void>;
}

/** Lays everything out; what was laid out is taken away again when a later part fails. */
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
