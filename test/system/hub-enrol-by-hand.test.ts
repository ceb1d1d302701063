// An operator with openssl, curl and mosquitto_pub enrols against the hub: the hub is the only
// program of ours.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { Fault } from "../../hal/fault.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually, startProgram } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { programFile } from "../lab/runner/programs.ts";

const MAIN = programFile("sallyport-hub");

interface Outcome {
  readonly code: number | null;
  readonly out: string;
}

/**
 * Runs a command as an operator types it.
 * @returns both streams as one text.
 */
async function typed(cwd: string, command: string, ...args: readonly string[]): Promise<Outcome> {
  const child = spawn("/usr/bin/env", ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", command, ...args], { cwd });
  const chunks: Uint8Array[] = [];
  child.stdout.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, out: Buffer.concat(chunks).toString() };
}

const skip = needs("openssl", "curl", "mosquitto");

test(
  "[ID-7] openssl and curl enrol by hand: 202, an approval on the command line, 200, and the certificate opens the tunnel",
  { skip },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const [state, folder] = [join(directory, "hub"), join(directory, "folder")];
    mkdirSync(folder);
    const hub = async (...args: readonly string[]) => typed(directory, process.execPath, MAIN, ...args, "--state", state);
    t.equal((await hub("init", "--name", "Plant 7", "--host", "localhost", "--certificate-life", "30d")).code, 0);
    const serving = startProgram({
      name: "sallyport-hub",
      command: process.execPath,
      args: [MAIN, "serve", "--state", state, "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json"],
    });
    t.teardown(async () => serving.stop());
    const ready: unknown = JSON.parse(await serving.line(/"ready"/));
    const [est, mqtt] = [portOf(ready, "estPort"), portOf(ready, "mqttPort")];
    const anchors: unknown = JSON.parse((await hub("anchors")).out);
    writeFileSync(join(folder, "ca.pem"), textOf(anchors, "authority"));

    const make = await typed(
      folder,
      ...(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"] as const),
      ...(["-keyout", "key.pem", "-out", "csr.der", "-outform", "DER", "-subj", "/CN=bench-1/serialNumber=SN-42"] as const),
      ...(["-addext", "subjectAltName=URI:urn:dev:mac:02005efffe100001"] as const),
    );
    t.equal(make.code, 0, make.out);
    t.equal((await typed(folder, "openssl", "base64", "-in", "csr.der", "-out", "csr.b64")).code, 0);
    const base = `https://localhost:${est}/.well-known/est`;
    const curl = async (path: string, ...args: readonly string[]) =>
      typed(folder, "curl", "-sS", "--cacert", "ca.pem", "-w", "\n%{http_code}", ...args, `${base}/${path}`);
    const post = ["--data-binary", "@csr.b64", "-H", "Content-Type: application/pkcs10"] as const;

    const waiting = await curl("simpleenroll", ...post, "-D", "headers");
    t.match(waiting.out, /waits for approval.*\n\n202$/s);
    t.match(readFileSync(join(folder, "headers"), "utf8"), /^retry-after: \d+/im);
    const hint = /sallyport-hub (devices approve bench-1 sha256:[0-9a-f]{64})/.exec(waiting.out)?.[1] ?? "";
    const fingerprint = await typed(folder, "sh", "-c", "openssl pkey -in key.pem -pubout -outform DER | sha256sum");
    t.equal(hint.split(":")[1], fingerprint.out.split(" ")[0], "the fingerprint is the SHA-256 of the public key");
    t.match((await hub("devices", "list")).out, /bench-1 {2}pending/);
    t.equal((await hub(...hint.split(" "))).code, 0, "the command that the hub printed works");

    const answer = await curl("simpleenroll", ...post, "-o", "cert.b64");
    t.equal(answer.out.trim(), "200");
    t.equal((await typed(folder, "openssl", "base64", "-d", "-in", "cert.b64", "-out", "cert.p7")).code, 0);
    const print = await typed(
      folder,
      ...(["openssl", "pkcs7", "-inform", "DER", "-in", "cert.p7", "-print_certs", "-out", "cert.pem"] as const),
    );
    t.equal(print.code, 0, print.out);
    const verify = await typed(
      folder,
      ...(["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.pem", "cert.pem"] as const),
    );
    t.match(verify, { code: 0, out: /cert\.pem: OK/ });

    const topic = "sallyport/1/bench-1/up/event";
    const id = "11111111-2222-4333-8444-555555555555";
    const message = JSON.stringify({ v: 1, id, at: new Date().toISOString(), body: { kind: "hello" } });
    const publish = async (...args: readonly string[]) =>
      typed(
        folder,
        ...(["mosquitto_pub", "-h", "localhost", "-p", String(mqtt), "--cafile", "ca.pem", "-q", "1"] as const),
        ...args,
      );
    const own = ["--cert", "cert.pem", "--key", "key.pem", "-i", "bench-1"] as const;
    t.same(await publish(...own, "-t", topic, "-m", message), { code: 0, out: "" });
    // The hub collects what connections cause, and writes it at intervals. [TUN-23]
    const journalHas = (pattern: RegExp): Promise<boolean> =>
      eventually(`${pattern} in the journal`, async () => pattern.test((await hub("alerts", "--all")).out) || undefined);
    t.ok(await journalHas(/connection\.opened bench-1 .*protocol=TLSv1\.3/));
    t.not((await publish("-i", "bench-1", "-t", topic, "-m", message)).code, 0, "without the certificate nothing is accepted");
    t.not((await publish(...own.slice(0, 4), "-i", "bench-2", "-t", topic, "-m", message)).code, 0, "nor under another name");
    t.ok(await journalHas(/connection\.refused - .*reason=no-certificate[\s\S]*connection\.refused bench-1 .*reason=client-id/));

    const renew = await curl("simplereenroll", ...post, "--cert", "cert.pem", "--key", "key.pem", "-o", "next.b64");
    t.equal(renew.out.trim(), "429", "[ID-24] renewal with curl is refused within a tenth of the life");
    t.match((await curl("simplereenroll", ...post)).out, /^enrol\.unauthorized: .*\n401$/s);
    t.equal((await hub("devices", "revoke", "bench-1")).code, 0);
    t.not((await publish(...own, "-t", topic, "-m", message)).code, 0, "revoked");
    t.match((await curl("simpleenroll", ...post)).out, /^hub\.device-revoked: .*\n403$/s);
  },
);

test(
  "[TUN-2] openssl s_client sees the hub offer TLS 1.3 with the hub's name, and ask for a certificate",
  { skip: needs("openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const state = join(directory, "hub");
    const hub = async (...args: readonly string[]) => typed(directory, process.execPath, MAIN, ...args, "--state", state);
    await hub("init", "--name", "Plant 7", "--host", "localhost");
    const serving = startProgram({
      name: "sallyport-hub",
      command: process.execPath,
      args: [MAIN, "serve", "--state", state, "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json"],
    });
    t.teardown(async () => serving.stop());
    const port = portOf(JSON.parse(await serving.line(/"ready"/)), "mqttPort");
    const seen = await eventually("an answer of the hub", async () => {
      const { out } = await typed(
        state,
        "sh",
        "-c",
        `openssl s_client -connect 127.0.0.1:${port} -servername localhost -verify_hostname localhost -verify_return_error -CAfile authority.pem </dev/null`,
      );
      return out.includes("Verif") ? out : undefined;
    });
    t.match(seen, /Verification: OK/);
    t.match(seen, /TLSv1\.3/);
    t.match(seen, /Acceptable client certificate CA names/);
  },
);

function portOf(ready: unknown, name: "estPort" | "mqttPort"): number {
  if (typeof ready === "object" && ready !== null && name in ready)
    return Number(Object.entries(ready).find(([key]) => key === name)?.[1]);
  throw new Fault("assert.broken", "the hub's first line names its ports");
}

function textOf(value: unknown, name: string): string {
  const found: unknown =
    typeof value === "object" && value !== null ? Object.entries(value).find(([key]) => key === name)?.[1] : undefined;
  if (typeof found !== "string") throw new Fault("assert.broken", `the anchors have "${name}"`);
  return found;
}
