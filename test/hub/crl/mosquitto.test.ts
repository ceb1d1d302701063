// A real Mosquitto with the hub's list of revoked certificates, as docs/operations.md sets it up.
import { once } from "node:events";
import { createPublicKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { MqttClient } from "mqtt";
import { test } from "tap";
import { createCrlKeeper } from "../../../hub/crl/index.ts";
import { loadAuthority } from "../../../hub/authority/index.ts";
import { initHub } from "../../../hub/index.ts";
import { openStore } from "../../../hub/store/index.ts";
import { startMosquitto } from "../../lab/counterparts/mosquitto.ts";
import { needs } from "../../lab/runner/needs.ts";
import { HANG_MS } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { hubCommand } from "../../lab/worlds/hub-cli.ts";
import { certificateIn, enrolled, enrolledBefore, labDevice, type LabDevice, labHub, simpleEnrol } from "../../lab/worlds/hub.ts";

const DAY_MS = 86_400_000;

/** Why a broker refused, or "connected". */
async function verdict(port: number, authority: string, { id, keyPem: key }: LabDevice, cert: string): Promise<string> {
  const socket = connectTls({ host: "127.0.0.1", servername: "localhost", port, ca: authority, cert, key });
  const ended = once(socket, "error").then(
    ([error]) => (error instanceof Error ? error.message : "error"),
    () => "error",
  );
  const client = new MqttClient(() => socket, { clientId: id, reconnectPeriod: 0, connectTimeout: HANG_MS });
  try {
    const connected = new Promise<string>((resolve) => void client.once("connect", () => resolve("connected")));
    client.on("error", () => undefined); // the socket tells the same
    return await Promise.race([connected, ended]);
  } finally {
    client.end(true);
    socket.destroy();
  }
}

/** Mosquitto with the hub's authority, a server certificate of it, and the list in a file. */
async function brokerWithList(t: TestContext, state: string) {
  const { issuer } = loadAuthority(state);
  const server = issuer.issueServer(["localhost"], Date.now());
  const directory = await temporaryDirectory(t);
  const file = (name: string, contents: string): string => {
    writeFileSync(join(directory, name), contents, { mode: 0o600 });
    return join(directory, name);
  };
  const list = join(directory, "crl.pem");
  const writeList = () => hubCommand(state, "crl", "--out", list);
  const credential = (name: string, cert: string, key: string) => ({
    cert,
    key,
    certFile: file(`${name}.pem`, cert),
    keyFile: file(`${name}.key`, key),
  });
  const start = () =>
    startMosquitto(t, {
      authority: credential("ca", issuer.authorityPem, ""),
      server: credential("server", server.certificatePem, server.keyPem),
      extra: [`crlfile ${list}`],
    });
  return { list, writeList, start, authority: issuer.authorityPem };
}

test(
  "[ID-90] Mosquitto with the list refuses a revoked device after SIGHUP, also with an older certificate, and no other",
  {
    skip: needs("mosquitto"),
  },
  async (t) => {
    const { hub, state } = await labHub(t);
    const [lost, other] = [await labDevice("gw-1"), await labDevice("gw-2")];
    const older = await enrolledBefore(hub, state, lost, { agoMs: 600_000, lifeMs: 1_000_000 });
    const cert = certificateIn(await simpleEnrol(hub, lost.csr));
    const otherCert = await enrolled(hub, other);
    const { writeList, start, authority } = await brokerWithList(t, state);
    t.equal((await writeList()).code, 0);
    const broker = await start();
    const seen = (device: LabDevice, shown: string) => verdict(broker.port, authority, device, shown);
    t.equal(await seen(lost, cert), "connected");
    t.equal(await seen(other, otherCert), "connected");

    t.equal((await hubCommand(state, "devices", "revoke", "gw-1")).code, 0);
    t.match(await writeList(), { code: 0, out: [/2 revoked certificates/u] });
    await broker.reload();
    t.match(await seen(lost, cert), /revoked/u);
    t.match(await seen(lost, older), /revoked/u);
    t.equal(await seen(other, otherCert), "connected");

    // Mosquitto adds each list that it reads to those before: one of the same second counts too.
    t.equal((await hubCommand(state, "devices", "revoke", "gw-2")).code, 0);
    t.equal((await writeList()).code, 0);
    await broker.reload();
    t.match(await seen(other, otherCert), /revoked/u);
  },
);

test(
  "[ID-92] a list that ran out locks every device out of Mosquitto; a hub that was down for long issues the next one first",
  {
    skip: needs("mosquitto"),
  },
  async (t) => {
    const state = await temporaryDirectory(t);
    await initHub({ state, name: "asleep", hosts: ["localhost", "127.0.0.1"] });
    const { list, writeList, start, authority } = await brokerWithList(t, state);
    const store = await openStore(join(state, "hub.db"));
    const { issuer } = loadAuthority(state);
    // The authority began a day ago, so the hub that sleeps is one whose list is made by hand.
    const thisUpdateMs = Date.now() - 40 * DAY_MS;
    const dates = { number: thisUpdateMs, thisUpdateMs, nextUpdateMs: thisUpdateMs + 30 * DAY_MS };
    const der = issuer.issueCrl({ ...dates, entries: [] });
    const revision = await store.crls.revision();
    await store.commit(
      store.crls.put({ ...dates, issuedAtMs: thisUpdateMs, keyId: issuer.keyId, revision, count: 0, der }, undefined),
    );
    await store.close();
    writeFileSync(list, `-----BEGIN X509 CRL-----\n${Buffer.from(der).toString("base64")}\n-----END X509 CRL-----\n`);
    const broker = await start();

    const { hub } = await labHub(t, { state });
    const device = await labDevice("gw-1");
    const cert = await enrolled(hub, device);
    t.ok(createPublicKey(device.keyPem));
    t.match(await verdict(broker.port, authority, device, cert), /expired|alert/u);
    const current = await hub.store.crls.current();
    t.ok((current?.number ?? 0) > dates.number && (current?.nextUpdateMs ?? 0) > Date.now() + 29 * DAY_MS, "issued at the start");
    t.equal((await writeList()).code, 0);
    await broker.reload();
    t.equal(await verdict(broker.port, authority, device, cert), "connected");
    t.equal((await createCrlKeeper({ store: hub.store, issuer }).current()).number, current?.number);
  },
);
