// Attacks on the greeting and on the status.
import { hostilePeer } from "../../lab/worlds/warden-socket.ts";
import type { Attack } from "./attack.ts";

export const SESSION_ATTACKS: { readonly [V in "hello" | "status.read"]: (attack: Attack) => Promise<void> } = {
  hello: async ({ t, lab }) => {
    for (const args of [
      {},
      { protocol: 0, program: "x" },
      { protocol: "1", program: "x" },
      { protocol: 1, program: "x".repeat(65) },
      { protocol: 1, program: "x", uid: 0 },
      [],
      null,
      "root",
    ]) {
      const peer = await hostilePeer(lab.socket);
      t.match(await peer.ask("hello", args), { fault: { code: "protocol.invalid" } }, JSON.stringify(args).slice(0, 60));
      t.equal(await peer.next(), undefined, "and the connection is over");
    }
  },

  "status.read": async ({ refused }) => {
    await refused("status.read", { of: "/proc/1/environ" });
  },
};
