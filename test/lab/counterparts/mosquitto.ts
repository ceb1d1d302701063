// A real Mosquitto 2 with mutual TLS, configured as for a large fleet: certificates are required,
// the CN is the user, and each user reaches its own topics only.
import { writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { assert } from "../../../hal/fault.ts";
import type { Credential } from "./pki.ts";
import { eventually, type RunningProgram, startProgram } from "../runner/process.ts";
import type { TestContext } from "../runner/context.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

export interface Mosquitto {
  readonly port: number;
  /** Starts the broker, also after its end, and waits until it takes connections. */
  start(): Promise<void>;
  /** Sends SIGHUP, and waits until the broker has read its configuration and certificates. */
  reload(): Promise<void>;
  /** Sends SIGKILL: what the broker had not written is lost. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  readonly lines: readonly string[];
}

export interface MosquittoOptions {
  readonly authority: Credential;
  readonly server: Credential;
  /** More lines of its configuration. */
  readonly extra?: readonly string[];
}

/** Ends with the test. */
export async function startMosquitto(t: TestContext, options: MosquittoOptions): Promise<Mosquitto> {
  const directory = await temporaryDirectory(t);
  const port = await freePort();
  const configFile = join(directory, "mosquitto.conf");
  const aclFile = join(directory, "acl");
  // `lab` is the test's own subscriber. %u is the certificate's CN. [TUN-11]
  writeFileSync(
    aclFile,
    "user lab\ntopic readwrite #\n\npattern write sallyport/1/%u/up/#\npattern read sallyport/1/%u/down/#\n",
    { mode: 0o600 },
  );
  writeFileSync(
    configFile,
    [
      `listener ${port} 127.0.0.1`,
      `cafile ${options.authority.certFile}`,
      `certfile ${options.server.certFile}`,
      `keyfile ${options.server.keyFile}`,
      "require_certificate true",
      "use_identity_as_username true",
      "allow_anonymous false",
      `acl_file ${aclFile}`,
      "log_type all",
      // As root, Mosquitto would otherwise become a user who cannot read the keys of a test.
      ...(process.getuid?.() === 0 ? ["user root"] : []),
      ...(options.extra ?? []),
      "",
    ].join("\n"),
  );
  const lines: string[] = [];
  let running: RunningProgram | undefined;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    await running?.stop(signal);
    running = undefined;
  };
  const broker: Mosquitto = {
    port,
    lines,
    async start() {
      const onLine = (line: string): void => void lines.push(line);
      running = startProgram({ name: "mosquitto", command: "/usr/sbin/mosquitto", args: ["-c", configFile], onLine });
      await eventually("mosquitto takes connections", () => reachable(port));
    },
    async reload() {
      const before = lines.length;
      if (running !== undefined) process.kill(running.pid, "SIGHUP");
      await eventually("mosquitto has reloaded", async () =>
        lines.slice(before).some((line) => line.includes("Reloading config")) ? true : undefined,
      );
      await eventually("mosquitto takes connections", () => reachable(port));
    },
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
  };
  t.teardown(() => end("SIGTERM"));
  await broker.start();
  return broker;
}

function reachable(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: "127.0.0.1", port });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(undefined));
  });
}

/**
 * Mosquitto cannot listen on port 0: the kernel picks a port, which is released for Mosquitto to
 * take.
 */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a listening server has an address");
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}
