// The rate of tunnel connections: TCP, TLS 1.3 with certificates on both sides, CONNECT, CONNACK,
// DISCONNECT.
import { assert } from "../../hal/fault.ts";
import type { Measure } from "./bench.ts";
import { startBroker } from "./broker.ts";
import { inTurns, perSecond, startContender } from "./contender.ts";
import { finding } from "./finding.ts";

export const reconnects: Measure = {
  name: "reconnects",
  peers: [
    {
      name: "mqtt.js",
      does: "connects and ends over TLS 1.3 with a client certificate",
      lacks: "no will, no bound of the packets it takes, no check of what ended the connection",
    },
  ],
  how: "TLS 1.3 with both certificates, CONNECT, CONNACK, DISCONNECT, one after the other; our stream and session against mqtt.js connect and end; Mosquitto",
  async run(bench) {
    const [rounds, count] = bench.quick ? [5, 20] : [11, 100];
    const { session } = await startBroker(bench, 20);
    const ours = await startContender(bench, { program: "tunnel-reconnects", args: session("gw-1") });
    const bare = await startContender(bench, { program: "bare-reconnects", args: session("gw-2") });
    const [mine, theirs] = await inTurns([ours, bare], { rounds, count, progress: bench.progress });
    for (const { tls } of [...(mine ?? []), ...(theirs ?? [])]) assert(tls === "TLSv1.3", "both speak TLS 1.3");
    const peer = { name: "mqtt.js", values: perSecond(theirs, count) };
    return [finding({ what: "reconnects", unit: "/s", ours: perSecond(mine, count), peer })];
  },
};
