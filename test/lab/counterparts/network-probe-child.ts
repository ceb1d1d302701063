// A program on one side of a firewall that tries connections with real sockets. network-probe.ts
// starts it and commands it line by line.
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

/**
 * How long nothing must come back before a try counts as silent. An answer on a virtual cable takes
 * microseconds; TCP sends a SYN again after a second.
 */
const SILENT_AFTER_MS = 500;
const connections = new Map<string, Socket>();

interface Waiting {
  outcome: string | undefined;
  readonly end: () => void;
}
const unanswered = new Map<string, Waiting>();

function say(id: string, outcome: string): void {
  process.stdout.write(`${id} ${outcome}\n`);
}

/**
 * Calls `act` when the event loop has looked at its sockets twice more. On a busy machine an answer
 * and a timer can be due at once, and Node runs the timer first.
 */
function afterSockets(act: () => void): void {
  setImmediate(() => setTimeout(() => setImmediate(act), 1));
}

/** Answers every TCP line and every UDP packet with itself, on IPv4 and IPv6. */
function listen(id: string, port: number): void {
  const udp = createSocket({ type: "udp6", ipv6Only: true }, (message, from) => udp.send(message, from.port, from.address));
  // of a group that the machine has joined, a socket for both families gets IPv6 only
  const udp4 = createSocket("udp4", (message, from) => udp4.send(message, from.port, from.address));
  const tcp = createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
  tcp.listen(port, "::", () => udp.bind(port, "::", () => udp4.bind(port, () => say(id, "listening"))));
}

/** The kernel of the other side answers a SYN, so no program there can delay the answer. */
function tryTcp(id: string, host: string, port: number, keep: boolean): void {
  const socket = connect({ host, port });
  let ended = false;
  const end = (outcome: string): void => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    socket.removeAllListeners("error").on("error", () => socket.destroy());
    if (keep && outcome === "open") connections.set(id, socket);
    else socket.destroy();
    say(id, outcome);
  };
  const timer = setTimeout(() => afterSockets(() => end("silent")), SILENT_AFTER_MS);
  socket.once("connect", () => end("open"));
  socket.once("error", (error) => end("code" in error ? String(error.code) : "failed"));
}

/**
 * Reports the outcome of a try when it ends, and `unanswered` when nothing came back in time. Here
 * a program on the other side must answer, so the parent asks again when that has had its turn.
 */
function awaitAnswer(id: string, end: () => void): (outcome: string) => void {
  const waiting: Waiting = { outcome: undefined, end };
  unanswered.set(id, waiting);
  let inTime = true;
  const timer = setTimeout(() => {
    inTime = false;
    say(id, "unanswered");
  }, SILENT_AFTER_MS);
  return (outcome) => {
    if (waiting.outcome !== undefined) return;
    waiting.outcome = outcome;
    if (!inTime) return;
    clearTimeout(timer);
    unanswered.delete(id);
    end();
    say(id, outcome);
  };
}

/** Tests whether a connection that was made earlier still carries anything. */
function poke(id: string, which: string): void {
  const socket = connections.get(which);
  const answered = awaitAnswer(id, () => void socket?.removeAllListeners("data"));
  socket?.once("data", () => answered("open"));
  socket?.write("still there?");
}

/** @param from the port to send from; 0 for any. The answer may come from any address. */
function tryUdp(id: string, host: string, port: number, from: number): void {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const answered = awaitAnswer(id, () => void socket.close());
  socket.on("error", (error) => answered("code" in error ? String(error.code) : "failed"));
  socket.once("message", () => answered("open"));
  socket.bind(from, () => {
    socket.setBroadcast(true);
    socket.send("anybody?", port, host, (error) => {
      if (error !== null && "code" in error) answered(String(error.code));
    });
  });
}

/** Reports the final outcome of a try that was unanswered. */
function settle(id: string, which: string): void {
  afterSockets(() => {
    const waiting = unanswered.get(which);
    unanswered.delete(which);
    waiting?.end();
    say(id, waiting?.outcome ?? "silent");
  });
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [id = "", verb = "", host = "", port = "0", from = "0"] = line.split(" ");
    if (verb === "listen") listen(id, Number(host));
    else if (verb === "poke") poke(id, host);
    else if (verb === "udp") tryUdp(id, host, Number(port), Number(from));
    else if (verb === "turn") afterSockets(() => say(id, "done"));
    else if (verb === "settle") settle(id, host);
    else tryTcp(id, host, Number(port), verb === "hold");
  })
  .on("close", () => process.exit());
say("ready", "here");
