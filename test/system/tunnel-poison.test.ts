// One message at which the broker cuts the connection without a word. MQTT 3.1.1 has no way to
// announce a limit or to refuse a message. What is behind that message arrives.
import { test } from "tap";
import * as v from "valibot";
import { reportMessageSchema } from "../../agent/tunnel/format.ts";
import { startAedes } from "../lab/counterparts/aedes.ts";
import { makePki } from "../lab/counterparts/pki.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { labTunnel } from "../lab/worlds/tunnel.ts";

const UNANNOUNCED_BYTES_MAX = 20_000;

test(
  "[STA-15] [TUN-21] a broker that cuts the connection at a message it never announced to refuse: that one is given up and counted, the others arrive, and no kick loop is reported",
  { skip: needs("openssl") },
  async (t) => {
    const pki = makePki(await temporaryDirectory(t));
    const broker = await startAedes(t, { pki });
    broker.aedes.authorizePublish = (client, packet, done) => {
      if (packet.payload.length <= UNANNOUNCED_BYTES_MAX) return done(null);
      client?.conn.destroy();
    };
    const { tunnel, spool, drops, events, event } = await labTunnel(t, { pki, port: broker.port });
    for (let n = 0; n < 10; n++)
      await tunnel.publish("result", { kind: "lab.count", n, padding: "x".repeat(n === 3 ? 30_000 : 10) });
    await tunnel.start();
    t.equal((await event("connected")).facts.mqtt, "3.1.1");
    await eventually("the spool is empty", async () => (spool.status().messages === 0 ? true : undefined));
    await tunnel.publish("event", { kind: "lab.count", n: 10 });
    const numbers = (): readonly unknown[] =>
      broker.published
        .filter(({ topic }) => /up\/(?:result|event)$/u.test(topic))
        .map(({ payload }) => v.parse(reportMessageSchema, JSON.parse(payload)).body["n"]);
    await eventually("the rest", async () => (numbers().includes(10) ? true : undefined));
    t.same(
      [...new Set(numbers())].sort((a, b) => Number(a) - Number(b)),
      [0, 1, 2, 4, 5, 6, 7, 8, 9, 10],
    );
    t.same(drops, [{ class: "result", reason: "refused", messages: 1 }]);
    t.notOk(
      events.some(({ kind }) => kind === "kicked"),
      "nobody else is suspected",
    );
  },
);
