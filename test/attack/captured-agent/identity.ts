// Attacks on the identity and on the birth record.
import { type AttacksOn, BORN, DEVICE } from "./attack.ts";

export const IDENTITY_ATTACKS: AttacksOn<"identity" | "birth"> = {
  "identity.read": async ({ t, peer, refused }) => {
    await refused("identity.read", { path: "/etc/shadow" });
    await refused("identity.read", { id: "GW-0000" });
    const answer = JSON.stringify(await peer.ask("identity.read", {}));
    t.notMatch(answer, /private|secret|password/iu, "the answer has no secret");
  },

  "birth.record": async ({ peer, t, refused }) => {
    await refused("birth.record", { protection: "tpm", keyFingerprint: `sha256:${"cd".repeat(32)}` }, /birth\.conflict/u);
    await refused("birth.record", { ...BORN, protection: "tpm" }, /birth\.conflict/u);
    await refused("birth.record", { ...BORN, id: "GW-0000" }, /protocol\.invalid/u);
    await refused("birth.record", { ...BORN, keyFingerprint: "sha256:../../etc/passwd" }, /protocol\.invalid/u);
    await refused("birth.record", { ...BORN, protection: "none" }, /protocol\.invalid/u);
    t.match(
      await peer.ask("birth.record", BORN),
      { result: { ...BORN, id: DEVICE } },
      "the same record again is no second birth",
    );
  },
};
