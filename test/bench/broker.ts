// The broker of the tunnel measures: a real Mosquitto with mutual TLS in a process of its own, and
// certificates for our tunnel and for the peer.
import { assert } from "../../hal/fault.ts";
import { startMosquitto } from "../lab/counterparts/mosquitto.ts";
import { needs } from "../lab/runner/needs.ts";
import { type Credential, issue, makeAuthority } from "../lab/counterparts/pki.ts";
import type { Bench } from "./bench.ts";

export interface BenchBroker {
  /** The first arguments of the load programs, see load/session.ts. */
  readonly session: (id: string) => readonly string[];
}

/** @param windowMax messages that the broker allows a client to have in flight. */
export async function startBroker(bench: Bench, windowMax: number): Promise<BenchBroker> {
  const missing = needs("mosquitto", "openssl");
  assert(missing === false, `the broker of the bench is a real one: it ${missing}`);
  const { directory } = bench;
  const authority = makeAuthority(directory, "authority");
  const server = issue(directory, "server", authority, { commonName: "localhost", names: ["DNS:localhost", "IP:127.0.0.1"] });
  const credentials = new Map<string, Credential>();
  const credential = (id: string): Credential => {
    const made = credentials.get(id) ?? issue(directory, id, authority, { commonName: id, names: [], usages: ["clientAuth"] });
    credentials.set(id, made);
    return made;
  };
  // Without nodelay each handshake of either client waits 40 ms for a delayed acknowledgement
  // (Nagle's algorithm). The measure must not contain that pause.
  const extra = ["set_tcp_nodelay true", "log_type none", `max_inflight_messages ${windowMax}`];
  const { port } = await startMosquitto(bench, { authority, server, extra });
  return {
    session: (id) => [`${port}`, id, authority.certFile, credential(id).certFile, credential(id).keyFile],
  };
}
