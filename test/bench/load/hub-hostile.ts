// A hostile peer of the hub at full rate, for at most two minutes, on loopback only.
// Arguments: device|stranger MQTT-PORT EST-PORT, then ID AUTHORITY-FILE CERT-FILE KEY-FILE.
import { generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { connect as connectTcp } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { MqttClient } from "mqtt";
import { buildRequest } from "../../../provisioning/x509/format/index.ts";

const LIFE_MS_MAX = 120_000;
const STRANGER = "127.0.0.66";
const CONNECTIONS = 8;

const [kind = "", mqttPort = "", estPort = "", id = "", authorityFile = "", certFile = "", keyFile = ""] = process.argv.slice(2);
const read = (file: string): string => readFileSync(file, "utf8");
const ca = read(authorityFile);

setTimeout(() => process.exit(0), LIFE_MS_MAX).unref();
console.log("ready");
if (kind === "device") for (let n = 0; n < CONNECTIONS; n++) void loop(captured);
else {
  for (let n = 0; n < CONNECTIONS; n++) void loop(enrol);
  void loop(idle);
}

async function loop(work: () => Promise<void>): Promise<never> {
  for (;;) {
    await work().catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Connects with a device's certificate, publishes rubbish, subscribes to others' topics. */
async function captured(): Promise<void> {
  const tls = {
    host: "127.0.0.1",
    port: Number(mqttPort),
    servername: "localhost",
    ca,
    cert: read(certFile),
    key: read(keyFile),
  };
  // From an address of its own: the pace of an address is not what is measured.
  const tcp = connectTcp({ host: tls.host, port: tls.port, localAddress: STRANGER });
  tcp.on("error", () => undefined);
  const socket: TLSSocket = connect({ ...tls, socket: tcp, ALPNProtocols: ["mqtt"] });
  const client = new MqttClient(() => socket, { clientId: id, protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 10_000 });
  await new Promise<void>((resolve) => {
    client.on("error", () => undefined);
    client.on("close", () => resolve());
    client.on("connect", () => {
      for (let n = 0; n < 100; n++) client.publish(`sallyport/1/${id}/up/event`, "rubbish", { qos: 1 }, () => undefined);
      const filters = Array.from({ length: 5000 }, (_, n) => `sallyport/1/gw-${n}/down/+`);
      client.subscribe(filters, () => undefined);
    });
  });
  client.end(true);
}

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
const counter = { next: 0 };

/** Asks for a certificate with a new key, from a connection that stays. */
async function enrol(): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const csr = await buildRequest(
    {
      commonName: `invented-${counter.next++}`,
      serialNumber: "SN-1",
      uris: [],
      publicKey: publicKey.export({ format: "der", type: "spki" }),
      auditKey: undefined,
    },
    async (bytes) => sign("sha256", bytes, { key: privateKey, dsaEncoding: "der" }),
  );
  await new Promise<void>((resolve, reject) => {
    const asking = request({
      host: "127.0.0.1",
      servername: "localhost",
      port: Number(estPort),
      localAddress: STRANGER,
      agent,
      ca,
      path: "/.well-known/est/simpleenroll",
      method: "POST",
      headers: { "content-type": "application/pkcs10" },
    });
    asking.on("error", reject);
    asking.on("response", (response) => {
      response.resume();
      response.on("end", () => resolve());
    });
    asking.end(Buffer.from(csr).toString("base64"));
  });
}

/** Opens a connection that says nothing, and waits until the hub ends it, or a moment. */
async function idle(): Promise<void> {
  const socket = connectTcp({ host: "127.0.0.1", port: Number(estPort), localAddress: STRANGER });
  socket.on("error", () => undefined);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
