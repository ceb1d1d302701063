// Attacks on the trust in the repository: wrong paths, and files that are said to be absent.
import type { AttacksOn } from "./attack.ts";

export const TRUST_ATTACKS: AttacksOn<"trust"> = {
  "trust.refresh": async ({ t, peer, refused }) => {
    for (const args of [
      {},
      { absent: "metadata/2.root.json" },
      { absent: ["../../etc/shadow"] },
      { absent: ["/etc/shadow"] },
      { absent: ["metadata/../../keys"] },
      { absent: ["metadata//timestamp.json"] },
      { absent: ["metadata/%2e%2e/root.json"] },
      { absent: ["metadata/2.root.json\n"] },
      { absent: ["a".repeat(257)] },
      { absent: Array.from({ length: 17 }, () => "a") },
      { absent: [], path: "/etc/shadow" },
      { absent: [], root: "AAAA" },
    ])
      await refused("trust.refresh", args, /protocol\.invalid/u);
    const everything = ["metadata/2.root.json", "metadata/timestamp.json"];
    for (const absent of [[], everything, ["metadata/2.root.json"], everything]) {
      const answer = JSON.stringify(await peer.ask("trust.refresh", { absent }));
      t.match(answer, /"fault"|"wanted"/u, "nothing becomes current because an agent says that files are absent");
    }
  },
};
