// Stands on one side of a wall and tries its doors: real sockets, told what to do line by line. Started by doors.ts.
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

/** Longer than any answer on a virtual cable takes, shorter than the second after which TCP would ask again. */
const PATIENCE_MS = 500;
const held = new Map<string, Socket>();

function say(id: string, outcome: string): void {
  process.stdout.write(`${id} ${outcome}\n`);
}

/** Answers every TCP line and every UDP packet with itself, on IPv4 and IPv6. */
function listen(id: string, port: number): void {
  const udp = createSocket("udp6", (message, from) => udp.send(message, from.port, from.address));
  const tcp = createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
  tcp.listen(port, "::", () => udp.bind(port, "::", () => say(id, "listening")));
}

function tryTcp(id: string, host: string, port: number, keep: boolean): void {
  const socket = connect({ host, port });
  const end = (outcome: string): void => {
    clearTimeout(timer);
    socket.removeAllListeners("error").on("error", () => socket.destroy());
    if (keep && outcome === "open") held.set(id, socket);
    else socket.destroy();
    say(id, outcome);
  };
  const timer = setTimeout(() => end("silent"), PATIENCE_MS);
  socket.once("connect", () => end("open"));
  socket.once("error", (error) => end("code" in error ? String(error.code) : "failed"));
}

/** Whether a connection that was made earlier still carries anything. */
function poke(id: string, which: string): void {
  const socket = held.get(which);
  const timer = setTimeout(() => {
    socket?.removeAllListeners("data");
    say(id, "silent");
  }, PATIENCE_MS);
  socket?.once("data", () => {
    clearTimeout(timer);
    say(id, "open");
  });
  socket?.write("still there?");
}

function tryUdp(id: string, host: string, port: number): void {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const end = (outcome: string): void => {
    clearTimeout(timer);
    socket.close();
    say(id, outcome);
  };
  const timer = setTimeout(() => end("silent"), PATIENCE_MS);
  socket.once("error", (error) => end("code" in error ? String(error.code) : "failed"));
  socket.once("message", () => end("open"));
  socket.send("anybody?", port, host, (error) => {
    if (error !== null && "code" in error) end(String(error.code));
  });
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [id = "", verb = "", host = "", port = "0"] = line.split(" ");
    if (verb === "listen") listen(id, Number(host));
    else if (verb === "poke") poke(id, host);
    else if (verb === "udp") tryUdp(id, host, Number(port));
    else tryTcp(id, host, Number(port), verb === "hold");
  })
  .on("close", () => process.exit());
say("ready", "here");
