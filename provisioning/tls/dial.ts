// A byte stream to the hub: direct, or through an HTTP CONNECT proxy (RFC 9110 section 9.3.6).
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { once } from "node:events";
import { asFault } from "../../hal/fault.ts";
import { addressOf, type Endpoint, type HubServer } from "./endpoint.ts";
import { connectThroughProxy } from "./proxy.ts";

/**
 * @param signal ends the attempt, and later the stream.
 * @throws Fault `enrol.unreachable`. When `signal` has aborted, any error it caused is thrown,
 *   because the caller knows the reason.
 */
export async function dial(hub: HubServer, signal: AbortSignal): Promise<Duplex> {
  const target = hub.connectTo ?? hub;
  try {
    // net.connect() connects even with a signal that has aborted, and then nothing would end the
    // connection
    signal.throwIfAborted();
    return withErrorListener(
      hub.proxy === undefined ? await direct(target, signal) : await throughProxy(hub.proxy, target, signal),
    );
  } catch (error) {
    throw asFault(error, "enrol.unreachable", `connect to the hub at ${addressOf(hub)}`);
  }
}

/**
 * A pending operation on the stream, and TLS above it, see its close and report it. An `error`
 * event without a listener, as after an abort of `signal`, would end the process.
 */
function withErrorListener<S extends Duplex>(stream: S): S {
  stream.on("error", () => undefined);
  return stream;
}

async function direct(target: Endpoint, signal: AbortSignal): Promise<Socket> {
  const socket = withErrorListener(connect({ host: target.host, port: target.port, signal }));
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
