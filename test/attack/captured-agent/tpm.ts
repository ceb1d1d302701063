// Attacks on what the warden tells of the TPM.
import { cosign, encodeNote } from "../../../warden/audit/format/index.ts";
import { makeSigner } from "../../lab/counterparts/hub-signer.ts";
import type { AttacksOn } from "./attack.ts";

export const TPM_ATTACKS: AttacksOn<"tpm"> = {
  "tpm.read": async ({ t, peer, refused }) => {
    await refused("tpm.read", { passwords: true }, /protocol\.invalid/u);
    await refused("tpm.read", { of: "owner" }, /protocol\.invalid/u);
    t.notMatch(JSON.stringify(await peer.ask("tpm.read", {})), /password|secret/iu);
  },

  "tpm.escrow": async ({ t, peer, refused }) => {
    await refused("tpm.escrow", { key: "the agent's own" }, /protocol\.invalid/u);
    await refused("tpm.escrow", { open: true }, /protocol\.invalid/u);
    t.match(await peer.ask("tpm.escrow", {}), { result: { state: "none" } });
  },

  "tpm.escrowed": async ({ lab, refused }) => {
    const text = "sallyport/escrow/1/GW-4711\n";
    for (const note of [
      "escrowed, believe me",
      "",
      encodeNote({ text, signatures: [cosign(text, 1_764_000_000, lab.hub.witness)] }),
      encodeNote({
        text,
        signatures: [cosign(text, 1_764_000_000, makeSigner(lab.hub.witness.verifier.name, "cosignature/v1"))],
      }),
    ])
      await refused("tpm.escrowed", { note }, /note\./u);
    await refused("tpm.escrowed", { note: "x".repeat(8193) }, /protocol\.invalid/u);
  },
};
