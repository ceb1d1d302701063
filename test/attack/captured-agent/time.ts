// Attacks on the clock: forged, foreign and repeated answers to the question for the time.
import { hubTime, makeSigner } from "../../lab/counterparts/hub-signer.ts";
import { type AttacksOn, DEVICE, HOUR_MS, isNonce, resultOf } from "./attack.ts";

export const TIME_ATTACKS: AttacksOn<"time"> = {
  "time.nonce": async ({ t, peer, refused }) => {
    await refused("time.nonce", { count: 1_000_000 });
    const nonces = new Set<string>();
    for (let n = 0; n < 40; n++) nonces.add(JSON.stringify(await peer.ask("time.nonce", {})).replace(/"id":\d+/u, ""));
    t.equal(nonces.size, 40, "no nonce is used twice");
  },

  "time.set": async ({ lab, peer, refused }) => {
    const nonce = async (): Promise<string> => resultOf<{ nonce: string }>(await peer.ask("time.nonce", {}), isNonce).nonce;
    const impostor = makeSigner(lab.hub.time.verifier.name, "ed25519");
    const soon = Date.now() + 365 * 24 * HOUR_MS;
    await refused("time.set", hubTime(impostor, DEVICE, await nonce(), soon), /time\.bad-signature/u);
    await refused("time.set", hubTime(lab.hub.witness, DEVICE, await nonce(), soon), /time\.bad-signature/u);
    await refused("time.set", hubTime(lab.hub.time, "GW-0000", await nonce(), soon), /time\.bad-signature/u);
    await refused(
      "time.set",
      { ...hubTime(lab.hub.time, DEVICE, await nonce(), Date.now()), time: new Date(soon).toISOString() },
      /time\.bad-signature/u,
    );
    await refused("time.set", hubTime(lab.hub.time, DEVICE, "5a".repeat(32), soon), /time\.nonce-unknown/u);
    await refused("time.set", hubTime(lab.hub.time, DEVICE, await nonce(), Date.UTC(1999, 0, 1)), /time\.out-of-range/u);
    await refused("time.set", hubTime(lab.hub.time, DEVICE, await nonce(), Date.UTC(2077, 0, 1)), /time\.out-of-range/u);
    const answer = hubTime(impostor, DEVICE, await nonce(), soon);
    await refused("time.set", answer, /time\.bad-signature/u);
    await refused("time.set", { ...hubTime(lab.hub.time, DEVICE, answer.nonce, soon) }, /time\.nonce-unknown/u);
    await refused("time.set", { unixMs: soon });
    await refused("time.set", { ...answer, force: true }, /protocol\.invalid/u);
  },
};
