// The demo's evidence that a step happened: the programs' own commands and standard tools, never
// inner state.
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../hal/linux/index.ts";
import type { Rig } from "../lab/worlds/rig.ts";
import { HANG_MS } from "../lab/runner/process.ts";

/** The stored certificate request as openssl reads it. */
export async function readRequest(
  rig: Rig,
): Promise<{ readonly subject: string; readonly names: string; readonly verified: boolean }> {
  const { stdout, stderr } = await runProgram(
    "openssl",
    ["req", "-inform", "DER", "-in", join(rig.board.agentState, "request.der"), "-verify", "-noout", "-text"],
    { timeoutMs: HANG_MS, outputBytesMax: 65_536 },
  );
  const found = (pattern: RegExp): string => pattern.exec(stdout)?.[1]?.trim() ?? "";
  return {
    subject: found(/Subject: (.*)/u),
    names: found(/Subject Alternative Name:\s*\n\s*(.*)/u),
    verified: /verify OK/u.test(`${stdout}${stderr}`),
  };
}

/** Files in the agent's state that hold a private key which could be copied. */
export function plainKeyFiles(rig: Rig): readonly string[] {
  return readdirSync(rig.board.agentState, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .filter((name) => /-----BEGIN (?:EC )?PRIVATE KEY-----/u.test(readFileSync(join(rig.board.agentState, name), "latin1")));
}

/** The device certificate in the agent's state, checked against the hub's authority. */
export async function readCertificate(
  rig: Rig,
): Promise<{ readonly subject: string; readonly issuer: string; readonly notAfter: string; readonly signed: boolean }> {
  const leaf = new X509Certificate(readFileSync(join(rig.board.agentState, "certificate.pem")));
  const authority = new X509Certificate((await rig.hub.anchors()).authority);
  const oneLine = (name: string): string => name.split("\n").join(", ");
  return {
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    notAfter: leaf.validToDate.toISOString(),
    signed: leaf.checkIssued(authority) && leaf.verify(authority.publicKey),
  };
}
