// What a key in the TPM costs: a TLS handshake against one with a key in a file, and our own
// commands against tpm2-tools and OpenSSL's provider. On a simulator: a chip's own work is not
// measured.
import { createPublicKey, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createServer } from "node:tls";
import { assert } from "../../hal/fault.ts";
import { linuxFiles } from "../../hal/linux/files/index.ts";
import { activateTpmProvider } from "../../hal/linux/tpm-provider/index.ts";
import {
  create,
  createPrimary,
  evictControl,
  HANDLE,
  load,
  PERSISTENT,
  publicKeyObject,
  SIGNING_TEMPLATE,
  STORAGE_TEMPLATE,
  writeTss2Pem,
} from "../../hal/linux/tpm/index.ts";
import { addressOf } from "../lab/counterparts/est-server.ts";
import { type Credential, issue, makeAuthority, openssl } from "../lab/counterparts/pki.ts";
import { openTpm, startSwtpm, type Swtpm } from "../lab/counterparts/swtpm.ts";
import { lacking, tpm2Provider } from "../lab/runner/needs.ts";
import { startOf, type UnitStart } from "../lab/runner/units.ts";
import type { Bench, Measure } from "./bench.ts";
import { inTurns, perSecond, type RoundOutcome, startContender } from "./contender.ts";
import { type Finding, finding } from "./finding.ts";

/** The device's key for tpm2-tools, which load no TSS2 file: a persistent copy. */
const TOOLS_KEY = 0x8100_0002;

export const tpm: Measure = {
  name: "tpm",
  peers: [
    {
      name: "a file key",
      does: "the same handshakes in a process of the same kind, with the same server",
      lacks: "its private key lies in a file and in memory",
    },
    {
      name: "tpm2_sign",
      does: "signs with a key that is persistent in the TPM, as a child process",
      lacks: "does not load the key, and flushes nothing",
    },
    {
      name: "OpenSSL's provider",
      does: "signs in the same process by node:crypto, with a key that it loaded once",
      lacks: "blocks the process while the TPM works; connects to the simulator for each command",
    },
  ],
  how: "a key in a simulated TPM (swtpm, whose own work is in each number; that of a chip is far longer): mutual TLS 1.3 handshakes with one SecureContext, through OpenSSL's tpm2 provider, against a key in a file; and signatures of a digest by our own commands, where load, sign and flush count as one",
  lacks: () => lacking("swtpm", "tpm2-provider", "tpm2-tools", "openssl"),
  async run(bench) {
    // OpenSSL's provider keeps its key in a slot, so it has a chip of its own.
    const board = await makeBoard(bench, "ours");
    return [
      await handshakes(bench, await makeBoard(bench, "tls")),
      await loadAndSign(bench, board),
      await signOnly(bench, board, await makeBoard(bench, "provider")),
    ];
  },
};

interface Board {
  readonly chip: Swtpm;
  /** TSS2 PEM, below the storage root at 0x81000001. */
  readonly keyFile: string;
  readonly publicKey: KeyObject;
  readonly authority: Credential;
  /** How the agent is started with the provider. */
  readonly start: UnitStart;
}

async function makeBoard(bench: Bench, name: string): Promise<Board> {
  const directory = join(bench.directory, name);
  await mkdir(directory);
  const chip = await startSwtpm();
  bench.teardown(chip.stop);
  const keyFile = join(directory, "device.tss2.pem");
  const publicKey = await (async () => {
    await using tpm = await openTpm(chip);
    await using root = await createPrimary(tpm, HANDLE.owner, STORAGE_TEMPLATE);
    await evictControl(tpm, root, PERSISTENT.storageRoot);
    const blob = await create(tpm, root, SIGNING_TEMPLATE);
    await using key = await load(tpm, root, blob);
    await evictControl(tpm, key, TOOLS_KEY);
    await writeFile(keyFile, writeTss2Pem({ ...blob, parent: PERSISTENT.storageRoot, hasNoPassword: true }));
    return publicKeyObject(blob.area);
  })();
  const installed = tpm2Provider();
  assert(installed !== undefined, "the measure is left out without the provider");
  const state = join(directory, "provider");
  await mkdir(state);
  const provider = { ...installed, tcti: chip.tcti };
  const wanted = await activateTpmProvider({ files: await linuxFiles(state), directory: state, provider });
  const { options, env } = startOf("sallyport-agent.service");
  const authority = makeAuthority(directory, "authority");
  return { chip, keyFile, publicKey, authority, start: { options, env: { ...env, ...wanted } } };
}

/** A certificate for a public key, as the hub gives one. @returns its file. */
async function certify({ directory }: Bench, { authority }: Board, name: string, key: KeyObject): Promise<string> {
  const [publicFile, certFile] = [join(directory, `${name}.pub`), join(directory, `${name}.crt`)];
  await writeFile(publicFile, key.export({ type: "spki", format: "pem" }));
  const signed = ["-CA", authority.certFile, "-CAkey", authority.keyFile, "-days", "1", "-out", certFile];
  openssl(["x509", "-new", "-force_pubkey", publicFile, "-subj", `/CN=${name}`, ...signed]);
  return certFile;
}

async function startServer(bench: Bench, { authority }: Board): Promise<number> {
  const { key, cert } = issue(bench.directory, "server", authority, { commonName: "localhost" });
  const options = { key, cert, ca: authority.cert, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" } as const;
  const server = createServer(options, (socket) => socket.on("error", () => undefined).end("."));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  bench.teardown(() => void server.close());
  return addressOf(server.address()).port;
}

async function handshakes(bench: Bench, board: Board): Promise<Finding> {
  const [rounds, count] = bench.quick ? [12, 10] : [40, 40];
  const port = await startServer(bench, board);
  const fileKey = join(bench.directory, "file.pem");
  openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", fileKey]);
  const withTpm = await startContender(bench, {
    program: "tls-handshakes",
    args: [`${port}`, board.keyFile, await certify(bench, board, "tpm", board.publicKey), board.authority.certFile],
    start: board.start,
  });
  const publicFileKey = createPublicKey(openssl(["pkey", "-in", fileKey, "-pubout"]));
  const withFile = await startContender(bench, {
    program: "tls-handshakes",
    args: [`${port}`, fileKey, await certify(bench, board, "file", publicFileKey), board.authority.certFile],
  });
  const [mine = [], theirs = []] = await inTurns([withTpm, withFile], { rounds, count, progress: bench.progress });
  await withTpm.end();
  await withFile.end();
  for (const { tls } of [...mine, ...theirs]) assert(tls === "TLSv1.3", "both speak TLS 1.3");
  const each = ({ ms }: RoundOutcome): number => ms / count;
  return finding({
    what: "TPM handshake",
    unit: "ms",
    ours: mine.map(each),
    peer: { name: "a file key", values: theirs.map(each) },
    target: { of: "ratio", is: "at most", bound: 2.5 },
    whyMissed: "the simulator is a process of its own, which other work keeps from a processor",
  });
}

async function loadAndSign(bench: Bench, { chip, keyFile }: Board): Promise<Finding> {
  const [rounds, count] = bench.quick ? [12, 15] : [40, 40];
  const [digest, signature] = [join(bench.directory, "digest"), join(bench.directory, "signature")];
  await writeFile(digest, new Uint8Array(32).fill(7));
  const ours = await startContender(bench, { program: "tpm-signatures", args: [chip.tcti, keyFile, "load"] });
  const tool = await startContender(bench, {
    program: "tool-signatures",
    args: [chip.tcti, `0x${TOOLS_KEY.toString(16)}`, digest, signature],
  });
  const [mine, theirs] = await inTurns([ours, tool], { rounds, count, progress: bench.progress });
  await ours.end();
  await tool.end();
  return finding({
    what: "TPM commands/s: load, sign, flush",
    unit: "/s",
    ours: perSecond(mine, count),
    peer: { name: "tpm2_sign", values: perSecond(theirs, count) },
    target: { of: "ratio", is: "at least", bound: 10 },
  });
}

async function signOnly(bench: Bench, { chip, keyFile }: Board, forProvider: Board): Promise<Finding> {
  const [rounds, count] = bench.quick ? [12, 40] : [40, 100];
  const ours = await startContender(bench, { program: "tpm-signatures", args: [chip.tcti, keyFile, "keep"] });
  const provider = await startContender(bench, {
    program: "provider-signatures",
    args: [forProvider.keyFile],
    start: forProvider.start,
  });
  const [mine, theirs] = await inTurns([ours, provider], { rounds, count, progress: bench.progress });
  return finding({
    what: "TPM commands/s: sign with a loaded key",
    unit: "/s",
    ours: perSecond(mine, count),
    peer: { name: "OpenSSL's provider", values: perSecond(theirs, count) },
    target: { of: "ratio", is: "at least", bound: 1 },
  });
}
