// The demo's world: which real parts this machine gives the simulated board, and what is left out and why.
import { needs, tpm2Provider } from "../lab/needs.ts";
import { type BoardNetwork, startBoardNetwork } from "../lab/netns.ts";
import { type PtyPair, startPtyPair } from "../lab/pty.ts";
import { AGENT_UID, buildRig, DEFAULT_MAC, type Rig } from "../lab/rig.ts";
import { startSwtpm, type Swtpm } from "../lab/swtpm.ts";

export interface World {
  readonly rig: Rig;
  readonly tpm: Swtpm | undefined;
  readonly cable: PtyPair | undefined;
  readonly network: BoardNetwork | undefined;
  /** What this machine can't show, and why. */
  readonly missing: readonly { readonly what: string; readonly why: string }[];
  stop(): Promise<void>;
}

export async function buildWorld(onLine: (program: string, line: string) => void): Promise<World> {
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
  const provider = tpm2Provider();
  const noTpm = needs("swtpm", "tpm2-provider", "openssl");
  const tpm = lacks("a TPM (swtpm): the key lies in a file", noTpm)
    ? undefined
    : await startSwtpm(network === undefined ? {} : { prefix: network.prefix });
  const cable = lacks("a serial line (pty)", needs("socat"))
    ? undefined
    : await startPtyPair(twoUsers ? { deviceUser: AGENT_UID } : {});
  const rig = await buildRig({
    ...(network !== undefined && { hubAddress: network.hubAddress, boardPrefix: network.prefix }),
    agentConfig: {
      ...(cable !== undefined && { console: { path: cable.devicePath } }),
      key: tpm === undefined ? { protection: "file" } : { protection: "auto", tpm: { tcti: tpm.tcti, ...provider } },
    },
    onLine,
  });
  return {
    rig,
    tpm,
    cable,
    network,
    missing,
    async stop() {
      await rig.stop();
      await cable?.stop();
      await tpm?.stop();
      network?.stop();
    },
  };
}
