// What the demo looks at to know that a step really happened: the programs' own commands and standard tools, never their inner state.
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { runProgram } from "../../hal/linux/index.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { auditRecordSchema } from "../../warden/audit/format/index.ts";
import type { Rig } from "../lab/rig.ts";

const deviceSchema = v.looseObject({
  id: v.string(),
  fingerprint: v.string(),
  state: v.string(),
  auditKey: v.optional(v.string()),
  connection: v.optional(v.looseObject({ protocol: v.string(), cipher: v.string(), group: v.string(), serial: v.string() })),
});
export type HubDevice = v.InferOutput<typeof deviceSchema>;

/** The devices as the hub's operator sees them. */
export async function hubDevices(rig: Rig): Promise<readonly HubDevice[]> {
  const lines = (await rig.hubCommand("devices", "list", "--json")).split("\n").filter((line) => line !== "");
  return lines.map((line) => check(deviceSchema, parseJson(line, 65_536, "device"), "device"));
}

/** What openssl reads in the stored certificate request. */
export async function readRequest(
  rig: Rig,
): Promise<{ readonly subject: string; readonly names: string; readonly verified: boolean }> {
  const { stdout, stderr } = await runProgram(
    "openssl",
    ["req", "-inform", "DER", "-in", join(rig.board.agentState, "request.der"), "-verify", "-noout", "-text"],
    { timeoutMs: 10_000, outputBytesMax: 65_536 },
  );
  const found = (pattern: RegExp): string => pattern.exec(stdout)?.[1]?.trim() ?? "";
  return {
    subject: found(/Subject: (.*)/u),
    names: found(/Subject Alternative Name:\s*\n\s*(.*)/u),
    verified: /verify OK/u.test(`${stdout}${stderr}`),
  };
}

/** Files below the agent's state that hold a private key anyone could copy. */
export function plainKeyFiles(rig: Rig): readonly string[] {
  return readdirSync(rig.board.agentState, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .filter((name) => /-----BEGIN (?:EC )?PRIVATE KEY-----/u.test(readFileSync(join(rig.board.agentState, name), "latin1")));
}

/** The certificate in the agent's state, checked against the hub's authority. */
export async function readCertificate(
  rig: Rig,
): Promise<{ readonly subject: string; readonly issuer: string; readonly notAfter: string; readonly signed: boolean }> {
  const leaf = new X509Certificate(readFileSync(join(rig.board.agentState, "certificate.pem")));
  const authority = new X509Certificate((await rig.anchors()).authority);
  const oneLine = (name: string): string => name.split("\n").join(", ");
  return {
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    notAfter: leaf.validToDate.toISOString(),
    signed: leaf.checkIssued(authority) && leaf.verify(authority.publicKey),
  };
}

const shownSchema = v.strictObject({ seq: v.number(), record: auditRecordSchema });
export type HubRecord = v.InferOutput<typeof shownSchema>;

/** The newest records of the device's trail as the hub holds them, oldest first. */
export async function hubRecords(rig: Pick<Rig, "hubCommand">, id: string, count = 1000): Promise<readonly HubRecord[]> {
  const lines = (await rig.hubCommand("audit", "show", id, "-n", String(count), "--json"))
    .split("\n")
    .filter((line) => line !== "");
  return lines.map((line) => check(shownSchema, parseJson(line, 65_536, "record"), "record"));
}

/** What a hub command says with --json, one object. @throws Fault `process.failed` unless it exits 0. */
export async function hubSays<const S extends v.GenericSchema>(
  rig: Rig,
  schema: S,
  ...command: readonly string[]
): Promise<v.InferOutput<S>> {
  return check(schema, parseJson(await rig.hubCommand(...command, "--json"), 262_144, command[0] ?? ""), command.join(" "));
}
