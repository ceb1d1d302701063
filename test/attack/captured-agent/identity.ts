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

  "birth.replace": async ({ peer, refused }) => {
    const mine = { protection: "tpm", keyFingerprint: `sha256:${"cd".repeat(32)}` };
    await refused("birth.replace", mine, /birth\.conflict/u);
    await peer.ask("key.offer", { protection: "tpm" });
    await refused("birth.replace", mine, /birth\.conflict/u);
    await refused("birth.replace", BORN, /birth\.conflict/u);
    await refused("birth.replace", { ...mine, previous: BORN.keyFingerprint }, /protocol\.invalid/u);
    await refused("birth.replace", { ...mine, order: "5a".repeat(32) }, /protocol\.invalid/u);
    await refused("birth.replace", { ...mine, chip: { storage: "../../etc" } }, /protocol\.invalid/u);
  },
};

/** The offer is the agent's word, which the signer of an order reads and the warden never obeys. */
export const KEY_ATTACKS: AttacksOn<"key"> = {
  "key.offer": async ({ t, peer, refused }) => {
    for (const args of [{ protection: "none" }, { protection: "tpm", grant: {} }, { to: "tpm" }, { protection: ["tpm"] }])
      await refused("key.offer", args, /protocol\.invalid/u);
    t.notMatch(JSON.stringify(await peer.ask("key.offer", { protection: "file" })), /planHash/u, "no weaker key is on offer");
    t.match(await peer.ask("key.offer", { protection: "tpm" }), { result: { planHash: /^sha256:/u, grant: undefined } });
    t.strictSame(
      await peer
        .ask("order.submit", { verb: "key.upgrade", order: "{}" })
        .then((answer) => /fault/u.test(JSON.stringify(answer))),
      true,
    );
    t.match(await peer.ask("key.offer", {}), { result: { planHash: undefined } });
  },
};
