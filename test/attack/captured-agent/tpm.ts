// Attacks on what the warden tells of the TPM.
import type { AttacksOn } from "./attack.ts";

export const TPM_ATTACKS: AttacksOn<"tpm"> = {
  "tpm.read": async ({ t, peer, refused }) => {
    await refused("tpm.read", { passwords: true }, /protocol\.invalid/u);
    await refused("tpm.read", { of: "owner" }, /protocol\.invalid/u);
    t.notMatch(JSON.stringify(await peer.ask("tpm.read", {})), /password|secret/iu);
  },
};
