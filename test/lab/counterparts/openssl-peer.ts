// `openssl s_server`: TLS by OpenSSL's own program, which shows one chain and demands another.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "../runner/context.ts";
import { startProgram } from "../runner/process.ts";
import { temporaryDirectory } from "../runner/temporary.ts";
import type { Credential } from "./pki.ts";

export interface OpensslPeer {
  readonly port: number;
  /** What it printed of the chains that it has verified, and of its refusals. */
  readonly lines: readonly string[];
}

export interface OpensslPeerOptions {
  readonly server: Credential;
  /** PEM of what it sends after its certificate, in this order. */
  readonly chain?: readonly string[];
  /** PEM of the only authorities that it takes clients from. Without it, it asks for nothing. */
  readonly clients?: readonly string[];
}

/** Answers HTTP with its status page. Ends with the test. */
export async function startOpensslPeer(t: TestContext, options: OpensslPeerOptions): Promise<OpensslPeer> {
  const directory = await temporaryDirectory(t);
  const file = (name: string, pems: readonly string[]): string => {
    const path = join(directory, name);
    writeFileSync(path, pems.join(""));
    return path;
  };
  const { server, chain = [], clients } = options;
  const args = [
    ["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", server.certFile, "-key", server.keyFile],
    chain.length > 0 ? ["-cert_chain", file("chain.pem", chain)] : [],
    // otherwise it would look for the rest of its own chain among the clients' authorities
    ["-no-CAfile", "-no-CApath", "-no-CAstore"],
    clients === undefined ? [] : ["-Verify", "9", "-verify_return_error", "-verifyCAfile", file("clients.pem", clients)],
  ].flat();
  const program = startProgram({ name: "s_server", command: "openssl", args, endsWithUs: true });
  t.teardown(() => program.stop());
  const listening = await program.line(/^ACCEPT .*:\d+$/u);
  return { port: Number(listening.split(":").at(-1)), lines: program.lines };
}
