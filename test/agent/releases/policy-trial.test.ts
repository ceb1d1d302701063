// [LCK-13] over real tunnels: what the hub hears of a policy on trial came through a connection that was begun under it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { test } from "tap";
import { createReconnectWaiters } from "../../../agent/tunnel/reconnect-waiters.ts";
import { createPolicyTrials } from "../../../agent/releases/policy-trial.ts";
import type { LockdownState } from "../../../warden/lockdown/format/index.ts";
import { startAedes } from "../../lab/counterparts/aedes.ts";
import { connack, type Packet, puback, startMqttPeer, suback } from "../../lab/counterparts/mqtt-peer.ts";
import { needs } from "../../lab/runner/needs.ts";
import { makePki, type Pki } from "../../lab/counterparts/pki.ts";
import { eventually } from "../../lab/runner/process.ts";
import { labTunnel, realClock } from "../../lab/worlds/tunnel.ts";
import { clientOf, serveVerbs } from "../../lab/worlds/warden-socket.ts";

const directory = mkdtempSync(join(tmpdir(), "sallyport-trial-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const lacking = needs("openssl");
const held: { pki?: Pki } = {};
const pkiOfAll = (): Pki => (held.pki ??= makePki(directory));

const trial = { planHash: `sha256:${"ab".repeat(32)}`, nonce: "5a".repeat(32), confirmWithinMs: 20_000 };
const offer = { line: "policy", target: "policy/plant", counter: 3, digest: "cd".repeat(32) };

test(
  "[LCK-13] the hub hears of a policy on trial through a new TLS connection, made after it was put in force",
  { skip: lacking },
  async (t) => {
    const pki = pkiOfAll();
    const broker = await startAedes({ pki }, (act) => t.teardown(act));
    const { tunnel, event } = await labTunnel({ pki, port: broker.port }, (act) => t.teardown(act));
    const state: { lockdown: LockdownState; handshakes: number } = { lockdown: { at: "base" }, handshakes: -1 };
    const served = await serveVerbs({
      "lockdown.read": async () => ({ state: state.lockdown, open: [], usb: [] }),
      "lockdown.propose": async () => {
        state.handshakes = broker.peers.length;
        state.lockdown = { at: "pending", counter: 3, trial };
        return { counter: 3, trial };
      },
    });
    const warden = clientOf(served.path);
    t.teardown(async () => {
      warden.close();
      await served.remove();
    });
    await tunnel.start();
    await event("connected");
    const trials = createPolicyTrials({ warden, tunnel, clock: realClock, log: () => undefined });
    const told = (): { readonly topic: string; readonly payload: string; readonly handshakes: number }[] => heard;
    const heard: { topic: string; payload: string; handshakes: number }[] = [];
    broker.aedes.on("publish", (packet) => {
      if (packet.topic.endsWith("/up/event"))
        heard.push({ topic: packet.topic, payload: packet.payload.toString(), handshakes: broker.peers.length });
    });
    await trials.settle([offer], new AbortController().signal);
    await eventually("that the hub hears of it", async () => told()[0]);
    t.equal(told()[0]?.handshakes, state.handshakes + 1, "one more handshake than when the policy was put in force");
    t.equal((await event("disconnected")).by, "us");
    t.match(told()[0]?.payload, '"kind":"lockdown.pending"');
    await trials.settle([offer], new AbortController().signal);
    t.equal(broker.peers.length, state.handshakes + 1, "no further connection for what was told");
  },
);

test(
  "[LCK-13] a connection that was being made when the policy came into force does not count, even if the hub accepts it",
  { skip: lacking },
  async (t) => {
    const pki = pkiOfAll();
    const waiting: TLSSocket[] = [];
    let accepts = false;
    const answer = (packet: Packet, socket: TLSSocket): void => {
      if (packet.type === 1 && !accepts) waiting.push(socket);
      else if (packet.type === 1) socket.write(connack());
      if (packet.type === 8) socket.write(suback(packet));
      if (packet.type === 3) socket.write(puback(packet));
    };
    const peer = await startMqttPeer(pki, answer, (act) => t.teardown(act));
    const { tunnel, event } = await labTunnel({ pki, port: peer.port }, (act) => t.teardown(act));
    await tunnel.start();
    await eventually("a client that waits for CONNACK", async () => waiting[0]);
    let isRenewed = false;
    const renewed = tunnel.renew(new AbortController().signal).then(() => {
      isRenewed = true;
    });
    waiting[0]?.write(connack());
    await eventually("another connection", async () => waiting[1]);
    t.notOk(isRenewed);
    accepts = true;
    waiting[1]?.write(connack());
    await renewed;
    await event("connected");
    t.ok(isRenewed);
  },
);

test(
  "[LCK-13] when no new connection comes about the wait ends with the trial, or with the agent",
  { skip: lacking },
  async (t) => {
    const pki = pkiOfAll();
    const { tunnel } = await labTunnel({ pki, port: 9 }, (act) => t.teardown(act));
    await tunnel.start();
    const served = await serveVerbs({
      "lockdown.read": async () => ({
        state: { at: "pending", counter: 3, trial: { ...trial, confirmWithinMs: 30 } },
        open: [],
        usb: [],
      }),
    });
    const warden = clientOf(served.path);
    t.teardown(async () => {
      warden.close();
      await served.remove();
    });
    const trials = createPolicyTrials({ warden, tunnel, clock: realClock, log: () => undefined });
    await t.rejects(trials.settle([], new AbortController().signal), { code: "tunnel.closed" });
    await t.rejects(trials.settle([], AbortSignal.abort()), { code: "tunnel.closed" });
  },
);

test("[LCK-13] only a session of a connection begun after the question answers it, whichever becomes one first", async (t) => {
  const renewals = createReconnectWaiters();
  const before = renewals.beginAttempt();
  const heard: string[] = [];
  const renewed = renewals.wait(new AbortController().signal).then(() => heard.push("renewed"));
  renewals.resolveWaiters(before);
  await new Promise((resolve) => setImmediate(resolve));
  heard.push("the old one serves");
  renewals.resolveWaiters(renewals.beginAttempt());
  await renewed;
  t.same(heard, ["the old one serves", "renewed"]);
});
