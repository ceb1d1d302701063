// A byte stream to the hub: straight, or through an HTTP CONNECT proxy (RFC 9110 section 9.3.6).
import { request } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { once } from "node:events";
import { asFault, Fault } from "../../hal/fault.ts";
import { addressOf, type Endpoint, type Hub } from "./hub.ts";

/**
 * @param signal ends the attempt; afterwards the stream too.
 * @throws Fault `enrol.unreachable`; when `signal` has aborted, whatever error that made: the caller knows why.
 */
export async function dial(hub: Hub, signal: AbortSignal): Promise<Duplex> {
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

async function direct(target: Endpoint, signal: AbortSignal): Promise<Duplex> {
  const socket = heard(connect({ host: target.host, port: target.port, signal }));
  await once(socket, "connect", { signal });
  return socket;
}

async function throughProxy(proxy: Endpoint, target: Endpoint, signal: AbortSignal): Promise<Duplex> {
  const authority = `${target.host}:${target.port}`;
  const asked = request({
    host: proxy.host,
    port: proxy.port,
    method: "CONNECT",
    path: authority,
    headers: { host: authority },
    agent: false,
    signal,
  });
  const answered = Promise.withResolvers<Duplex>();
  asked.on("connect", (response, socket, head) => {
    // a TLS server never speaks first, so octets behind the answer are not the hub's
    if (response.statusCode === 200 && head.byteLength === 0) return answered.resolve(socket);
    socket.destroy();
    answered.reject(
      new Fault(
        "enrol.unreachable",
        `connect to ${authority}: proxy ${proxy.host}:${proxy.port} answered ${response.statusCode}`,
      ),
    );
  });
  // a proxy that answers CONNECT as if it were a GET
  asked.on("response", (response) => {
    response.destroy();
    answered.reject(
      new Fault(
        "enrol.unreachable",
        `connect to ${authority}: proxy ${proxy.host}:${proxy.port} answered ${response.statusCode}`,
      ),
    );
  });
  asked.on("error", answered.reject);
  asked.end();
  return answered.promise;
}
