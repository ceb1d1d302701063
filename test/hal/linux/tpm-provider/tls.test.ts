// TLS 1.3 with client authentication in an unmodified Node, with a key that never leaves the TPM.
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { createPublicKey, verify } from "node:crypto";
import { type Test, test } from "tap";
import * as v from "valibot";
import { Fault } from "../../../../hal/fault.ts";
import { linuxFiles } from "../../../../hal/linux/files/index.ts";
import { runProgram } from "../../../../hal/linux/process/index.ts";
import {
  activateTpmProvider,
  isStartedWith,
  isTpmProviderActive,
  type TpmProvider,
} from "../../../../hal/linux/tpm-provider/index.ts";
import { createTpmKeyStore } from "../../../../hal/linux/keys/index.ts";
import {
  createPrimary,
  evictControl,
  HANDLE,
  lockoutState,
  PERSISTENT,
  readTss2Pem,
  STORAGE_TEMPLATE,
} from "../../../../hal/linux/tpm/index.ts";
import type { DeviceKey, DurableFiles } from "../../../../hal/ports.ts";
import { needs, tpm2Provider } from "../../../lab/runner/needs.ts";
import { issue, makeAuthority, openssl } from "../../../lab/counterparts/pki.ts";
import { openTpm, startSwtpm, type Swtpm } from "../../../lab/counterparts/swtpm.ts";

const skip = needs("swtpm", "tpm2-provider", "openssl");
const CHILD = fileURLToPath(new URL("tls-child.ts", import.meta.url));
// a TPM without a resource manager has three slots: with a context for each connection the third
// would fail
const CONNECTIONS = 6;

interface Device {
  readonly chip: Swtpm;
  readonly directory: string;
  readonly files: DurableFiles;
  readonly provider: TpmProvider;
  readonly key: DeviceKey;
  readonly keyFile: string;
  readonly certFile: string;
  readonly authorityFile: string;
}

/** A TPM with a key, a certificate for the key, and the hub's side of the same authority. */
async function makeDevice(t: Test, hasRoot = false): Promise<Device & { server: { key: string; cert: string; ca: string } }> {
  const directory = await mkdtemp(join(tmpdir(), "tpm-tls-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const chip = await startSwtpm();
  t.teardown(chip.stop);
  if (hasRoot) await keepRoot(chip);
  const provider = { ...(tpm2Provider() ?? { module: "" }), tcti: chip.tcti };
  const files = await linuxFiles(join(directory, "state"));
  const key = await createTpmKeyStore({ files, provider }).create();
  const authority = makeAuthority(directory, "authority");
  const hub = issue(directory, "hub", authority, { commonName: "localhost" });
  const [keyFile, publicFile, certFile] = [
    join(directory, "device.key"),
    join(directory, "device.pub"),
    join(directory, "device.crt"),
  ];
  writeFileSync(keyFile, key.tlsKey());
  const spki = createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
  writeFileSync(publicFile, spki.export({ type: "spki", format: "pem" }));
  const signed = ["-CA", authority.certFile, "-CAkey", authority.keyFile, "-days", "1"];
  openssl(["x509", "-new", "-force_pubkey", publicFile, "-subj", "/CN=gw-1", ...signed, "-out", certFile]);
  const device = { chip, directory, files, provider, key, keyFile, certFile, authorityFile: authority.certFile };
  return { ...device, server: { key: hub.key, cert: hub.cert, ca: authority.cert } };
}

/** Keeps the storage root at 0x81000001, as an owner does: the key's parent is there. */
async function keepRoot(chip: Swtpm): Promise<void> {
  await using tpm = await openTpm(chip);
  await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
  await evictControl(tpm, root, PERSISTENT.storageRoot);
}

const stepSchema = v.looseObject({ step: v.string() });

interface ChildOptions {
  readonly wanted: Readonly<Record<string, string>>;
  readonly restart: boolean;
  readonly port: number;
  readonly connections?: number;
}

async function runChild(device: Device, { connections = CONNECTIONS, ...more }: ChildOptions) {
  const { keyFile, certFile, authorityFile } = device;
  const options = JSON.stringify({ ...more, keyFile, certFile, authorityFile, connections });
  const { stdout } = await runProgram(process.execPath, [CHILD, options], { timeoutMs: 300_000, outputBytesMax: 65_536 });
  return stdout
    .trim()
    .split("\n")
    .map((line) => v.parse(stepSchema, JSON.parse(line)));
}

for (const [parent, hasRoot] of [
  ["the owner's primary key", false],
  ["a persistent storage root", true],
] as const)
  test(
    `[ID-4] six TLS 1.3 connections with a key below ${parent}, and a signature of the store between them`,
    { skip },
    async (t) => {
      const device = await makeDevice(t, hasRoot);
      t.equal(readTss2Pem(device.key.tlsKey()).parent, hasRoot ? PERSISTENT.storageRoot : HANDLE.owner);
      const wanted = await activateTpmProvider({
        files: device.files,
        directory: join(device.directory, "state"),
        provider: device.provider,
      });
      const connections: { authorized: boolean; commonName: unknown; protocol: string | null }[] = [];
      const data = Buffer.from("a renewal is signed while the tunnel is up");
      const spki = createPublicKey({ key: Buffer.from(device.key.publicKey), format: "der", type: "spki" });
      const server = createServer(
        { ...device.server, requestCert: true, rejectUnauthorized: false, minVersion: "TLSv1.3" },
        (socket: TLSSocket) => {
          connections.push({
            authorized: socket.authorized,
            commonName: socket.getPeerCertificate().subject.CN,
            protocol: socket.getProtocol(),
          });
          socket.on("error", (error) => t.fail(error.message));
          device.key.sign(data).then(
            (signature) => socket.end(verify("sha256", data, spki, signature) ? "hello gw-1" : "the signature is wrong"),
            (error: unknown) => socket.end(String(error)),
          );
        },
      );
      t.teardown(() => server.close());
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const port = portOf(server.address());
      const steps = await runChild(device, { wanted, restart: true, port });
      t.equal(steps[0]?.step, "restart");
      t.match(
        steps[1],
        { step: "started", active: true, processId: steps[0]?.["processId"] },
        "the same process, restarted with the provider",
      );
      t.same(
        steps.slice(2),
        Array.from({ length: CONNECTIONS }, () => ({ step: "heard", words: "hello gw-1" })),
      );
      t.same(
        connections,
        Array.from({ length: CONNECTIONS }, () => ({ authorized: true, commonName: "gw-1", protocol: "TLSv1.3" })),
      );
    },
  );

test(
  "[ID-40] five power cuts in a row: every boot signs and speaks TLS with the same key, and no failure is counted",
  { skip },
  async (t) => {
    const device = await makeDevice(t);
    const { files, provider, key } = device;
    const wanted = await activateTpmProvider({ files, directory: join(device.directory, "state"), provider });
    const data = Buffer.from("words");
    const spki = createPublicKey({ key: Buffer.from(key.publicKey), format: "der", type: "spki" });
    const server = createServer({ ...device.server, requestCert: true, minVersion: "TLSv1.3" }, (socket: TLSSocket) => {
      socket.on("error", (error) => t.fail(error.message));
      socket.end(socket.authorized ? "hello gw-1" : "a stranger");
    });
    t.teardown(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const port = portOf(server.address());
    let { chip } = device;
    for (let boot = 1; boot <= 5; boot += 1) {
      const found = await createTpmKeyStore({ files, provider }).create();
      t.equal(found.fingerprint, key.fingerprint);
      t.ok(verify("sha256", data, spki, await found.sign(data)), `boot ${boot} signs`);
      const steps = await runChild(device, { wanted, restart: true, port, connections: 1 });
      t.same(steps.at(-1), { step: "heard", words: "hello gw-1" }, "and speaks TLS");
      {
        await using tpm = await openTpm(chip);
        t.match(await lockoutState(tpm), { isLockedOut: false, failures: 0 });
      }
      await chip.cut();
      chip = await startSwtpm({ directory: chip.directory, port: chip.port });
      t.teardown(chip.stop);
    }
  },
);

test("a process without the provider is recognized, and its TLS refuses the key", { skip }, async (t) => {
  const device = await makeDevice(t);
  const steps = await runChild(device, { wanted: {}, restart: false, port: 9 });
  t.match(steps, [
    { step: "started", active: false },
    { step: "failed", code: "ERR_OSSL_UNSUPPORTED" },
  ]);
  t.equal(isTpmProviderActive(device.key.tlsKey()), false, "this process does not have the provider either");
});

test("the environment that Node needs is complete and stable, and is compared before a restart", { skip }, async (t) => {
  const { directory, files, provider } = await makeDevice(t);
  const state = join(directory, "state");
  let written = 0;
  const counting: DurableFiles = { ...files, put: (name, bytes) => ((written += 1), files.put(name, bytes)) };
  const first = await activateTpmProvider({ files: counting, directory: state, provider });
  t.same(await activateTpmProvider({ files: counting, directory: state, provider }), first);
  t.equal(written, 1, "the existing file is not written again");
  t.match(first, { OPENSSL_CONF: join(state, "openssl.cnf"), TPM2OPENSSL_TCTI: provider.tcti, TSS2_LOG: "all+NONE" });
  t.equal(first["LD_LIBRARY_PATH"], provider.libraryPath);
  t.ok(isStartedWith({ HOME: "/", ...first }, first));
  t.notOk(isStartedWith({ ...first, OPENSSL_CONF: "/etc/ssl/openssl.cnf" }, first));
  t.notOk(isStartedWith({}, first));
});

test("a module path that would change the configuration is refused, and nothing is written", async (t) => {
  const files: DurableFiles = {
    get: async () => undefined,
    put: async () => Promise.reject(new Fault("assert.broken", "nothing may be written")),
    remove: async () => undefined,
  };
  for (const module of ["tpm2.so", "/lib/a\nb.so", "/lib/$ENV::HOME/a.so", "/lib/a.so # x", '/lib/"a".so', "/lib/a\\b.so", ""])
    await t.rejects(
      activateTpmProvider({ files, directory: "/x", provider: { module, tcti: "device:/dev/tpmrm0" } }),
      { code: "config.invalid" },
      module,
    );
});

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Fault("assert.broken", "a TCP server has a port");
  return address.port;
}
