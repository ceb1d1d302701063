// The socket on which systemd hears its services (sd_notify(3)): a counterpart that counts what it
// hears.
import { spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { eventually } from "../runner/process.ts";

/**
 * Prints each datagram. As systemd does, it gives up the descriptor that comes with one, for whose
 * end systemd-notify waits; socat would not.
 */
const RECEIVER =
  '$| = 1; socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un($ARGV[0])); while (1) { recv(S, $b, 4096, 0); print "$b\\n" }';

export interface NotifySocket {
  /** How often `message` has come. */
  count(message: string): number;
  stop(): void;
}

/** Needs perl. */
export async function openNotifySocket(path: string): Promise<NotifySocket> {
  const receiver = spawn("perl", ["-MSocket", "-e", RECEIVER, path], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  receiver.stdout.on("data", (bytes) => void (text += String(bytes)));
  await eventually("the notify socket", async () => ((await stat(path)).isSocket() ? true : undefined));
  return { count: (message) => text.split(message).length - 1, stop: () => void receiver.kill("SIGKILL") };
}
