// A policy on trial over real tunnels: the hub hears of it through a connection that began under
// it.
import type { TLSSocket } from "node:tls";
import { t as root, test } from "tap";
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
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const directory = await temporaryDirectory(root);
const skip = needs("openssl");
const shared: { pki?: Pki } = {};
const sharedPki = (): Pki => (shared.pki ??= makePki(directory));

const trial = { planHash: `sha256:${"ab".repeat(32)}`, nonce: "5a".repeat(32), confirmWithinMs: 20_000 };
const offer = { line: "policy", target: "policy/plant", counter: 3, digest: "cd".repeat(32) };

test(
  "[LCK-35] the hub hears of a policy on trial through a TLS connection that began after the policy came into force",
  { skip },
  async (t) => {
    const pki = sharedPki();
    const broker = await startAedes(t, { pki });
    const { tunnel, event } = await labTunnel(t, { pki, port: broker.port });
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
    const published: { payload: string; handshakes: number }[] = [];
    broker.aedes.on("publish", (packet) => {
      if (packet.topic.endsWith("/up/event"))
        published.push({ payload: packet.payload.toString(), handshakes: broker.peers.length });
    });
    await trials.settle([offer], new AbortController().signal);
    await eventually("the event at the hub", async () => published[0]);
    t.equal(published[0]?.handshakes, state.handshakes + 1, "one handshake more than when the policy came into force");
    t.equal((await event("disconnected")).by, "us");
    t.match(published[0]?.payload, '"kind":"lockdown.pending"');
    await trials.settle([offer], new AbortController().signal);
    t.equal(broker.peers.length, state.handshakes + 1, "no further connection for a trial that was reported");
  },
);

test(
  "[LCK-35] a connection that was being made when the policy came into force does not count, even if the hub accepts it",
  { skip },
  async (t) => {
    const pki = sharedPki();
    const waiting: TLSSocket[] = [];
    let accepts = false;
    const answer = (packet: Packet, socket: TLSSocket): void => {
      if (packet.type === 1 && !accepts) waiting.push(socket);
      else if (packet.type === 1) socket.write(connack());
      if (packet.type === 8) socket.write(suback(packet));
      if (packet.type === 3) socket.write(puback(packet));
    };
    const peer = await startMqttPeer(t, pki, answer);
    const { tunnel, event } = await labTunnel(t, { pki, port: peer.port });
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

test("[LCK-35] without a new connection the wait ends with the trial or with the agent", { skip }, async (t) => {
  const pki = sharedPki();
  const { tunnel } = await labTunnel(t, { pki, port: 9 });
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
});

test("[LCK-35] only a connection that began after the call counts, whichever connection is accepted first", async (t) => {
  const waiters = createReconnectWaiters();
  const before = waiters.beginAttempt();
  const order: string[] = [];
  const renewed = waiters.wait(new AbortController().signal).then(() => order.push("renewed"));
  waiters.resolveWaiters(before);
  await new Promise((resolve) => setImmediate(resolve));
  order.push("the old connection serves");
  waiters.resolveWaiters(waiters.beginAttempt());
  await renewed;
  t.same(order, ["the old connection serves", "renewed"]);
});
