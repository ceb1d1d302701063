// A byte stream to the hub: straight, or through an HTTP CONNECT proxy (RFC 9110 section 9.3.6).
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { once } from "node:events";
import { asFault } from "../../hal/fault.ts";
import { addressOf, type Endpoint, type HubServer } from "./endpoint.ts";
import { connectThroughProxy } from "./proxy.ts";

/**
 * @param signal ends the attempt; afterwards the stream too.
 * @throws Fault `enrol.unreachable`; when `signal` has aborted, whatever error that made: the caller knows why.
 */
export async function dial(hub: HubServer, signal: AbortSignal): Promise<Duplex> {
  const target = hub.connectTo ?? hub;
  try {
    signal.throwIfAborted(); // net.connect() with a signal that has aborted connects all the same, and nobody ends that
    return heard(hub.proxy === undefined ? await direct(target, signal) : await throughProxy(hub.proxy, target, signal));
  } catch (error) {
    throw asFault(error, "enrol.unreachable", `connect to the hub at ${addressOf(hub)}`);
  }
}

/** Whoever waits on the stream, and TLS above it, see it close and say so; an `error` that nobody hears, as when `signal` aborts, would end the process. */
function heard<S extends Duplex>(stream: S): S {
  stream.on("error", () => undefined);
  return stream;
}

async function direct(target: Endpoint, signal: AbortSignal): Promise<Socket> {
  const socket = heard(connect({ host: target.host, port: target.port, signal }));
  await once(socket, "connect", { signal });
  return socket;
}

async function throughProxy(proxy: Endpoint, target: Endpoint, signal: AbortSignal): Promise<Duplex> {
  const socket = await direct(proxy, signal);
  try {
    await connectThroughProxy(socket, { proxy, target, faultCode: "enrol.unreachable" });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
