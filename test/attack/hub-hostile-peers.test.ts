// Peers of the hub that keep to no protocol: they begin and do not go on, send without reading, or
// ask for the same thing without end. While each is at it, another device is served; and what hangs
// ends.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { test, type Test } from "tap";
import type { Hub } from "../../hub/index.ts";
import {
  HANDSHAKES_BURST,
  HANDSHAKES_PER_S,
  MQTT_PACKETS_BURST,
  OUTBOX_PER_DEVICE_MAX,
  REPOSITORY_REQUESTS_BURST,
} from "../../hub/limits.ts";
import { eventually } from "../lab/runner/process.ts";
import { ask, connect, enrolled, labDevice, type LabDevice, labHub, labMessage, simpleEnrol } from "../lab/worlds/hub.ts";
import {
  connectPacket,
  PINGREQ,
  pubackPacket,
  publishPacket,
  subscribePacket,
  unsubscribePacket,
} from "../lab/worlds/mqtt-bytes.ts";

const FROM = "127.0.0.66";
const DRIP_MS = 100;
/** Of the hub under test. The other limits of time are those of `hub/limits.ts`. */
const PROGRESS_MS = 2000;

interface World {
  readonly hub: Hub;
  /** The device that the attacker controls. */
  readonly captured: { readonly device: LabDevice; readonly cert: string };
  /** Another device: a file, a new enrolment and a message, each answered. */
  readonly othersAreServed: (t: Test) => Promise<void>;
}

async function world(t: Test): Promise<World> {
  const { hub, state } = await labHub(t, { progressMs: PROGRESS_MS });
  await mkdir(join(state, "repository"), { recursive: true });
  await writeFile(join(state, "repository", "file"), "content");
  const [device, other] = [await labDevice("gw-1"), await labDevice("gw-2")];
  const cert = await enrolled(hub, device);
  const { client } = await connect(t, hub, other, await enrolled(hub, other));
  const counter = { next: 0 };
  return {
    hub,
    captured: { device, cert },
    othersAreServed: async (of) => {
      const newcomer = await labDevice(`new-${counter.next++}`);
      const answers = await Promise.all([
        ask(hub, "/repository/file"),
        simpleEnrol(hub, newcomer.csr),
        client.publishAsync("sallyport/1/gw-2/up/event", labMessage({ kind: "test" }), { qos: 1 }),
      ]);
      of.match(answers, [{ status: 200 }, { status: 202 }, { topic: "sallyport/1/gw-2/up/event" }], "others are served");
    },
  };
}

function tcp(t: Test, port: number): Socket {
  const socket = connectTcp({ host: "127.0.0.1", port, localAddress: FROM });
  socket.on("error", () => undefined);
  t.teardown(() => socket.destroy());
  return socket;
}

async function tls(t: Test, { hub, captured }: World, port: number, withCertificate = false): Promise<TLSSocket> {
  const shown = withCertificate ? { cert: captured.cert, key: captured.device.keyPem } : {};
  const socket = connectTls({ socket: tcp(t, port), servername: "localhost", ca: hub.anchors.authority, ...shown });
  socket.on("error", () => undefined);
  t.teardown(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

/** Resolves when the connection has ended, with a reset or without. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else socket.once("close", () => resolve());
  });
}

/** A captured device's MQTT connection, written to as bytes. What the hub sends is counted. */
async function mqtt(t: Test, the: World, keepaliveS = 60): Promise<{ socket: TLSSocket; received: () => number }> {
  const socket = await tls(t, the, the.hub.mqttPort, true);
  const counter = { bytes: 0 };
  socket.on("data", (chunk: Uint8Array) => (counter.bytes += chunk.byteLength));
  socket.write(connectPacket(the.captured.device.id, keepaliveS));
  while (counter.bytes < 4) await once(socket, "data");
  return { socket, received: () => counter.bytes };
}

/** Sends one byte after the other, as long as the hub takes them. */
function drip(t: Test, socket: Socket, text: string): void {
  const counter = { at: 0 };
  const timer = setInterval(() => {
    if (!socket.destroyed) socket.write(text[counter.at++ % text.length] ?? "");
  }, DRIP_MS);
  t.teardown(() => clearInterval(timer));
}

/** Peers that begin and do not go on. Each must lose its connection. */
const STUCK: Readonly<Record<string, (t: Test, the: World) => Promise<Socket>>> = {
  "a connection that says nothing": async (t, { hub }) => tcp(t, hub.estPort).resume(),
  "a client that is gone for writing, and has said nothing": async (t, { hub }) => tcp(t, hub.mqttPort).resume().end(),
  "a TLS handshake that stops within its first message": async (t, { hub }) => {
    const socket = tcp(t, hub.estPort).resume();
    socket.write(Buffer.from("16030102000100", "hex"));
    return socket;
  },
  "a TLS handshake that drips": async (t, { hub }) => {
    const socket = tcp(t, hub.mqttPort).resume();
    // The announced 16 kB would take half an hour.
    socket.write(Buffer.from("1603013fff01003ffb0303", "hex"));
    drip(t, socket, "\u0000");
    return socket;
  },
  "what is not TLS": async (t, { hub }) => {
    const socket = tcp(t, hub.estPort).resume();
    socket.write("GET / HTTP/1.1\r\n\r\n");
    return socket;
  },
  "a request's header that drips": async (t, the) => {
    const socket = await tls(t, the, the.hub.estPort);
    socket.resume().write("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
    drip(t, socket, "x");
    return socket;
  },
  "a request's body that drips": async (t, the) => {
    const socket = await tls(t, the, the.hub.estPort);
    socket.resume().write("POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n");
    socket.write("Content-Type: application/pkcs10\r\nContent-Length: 16000\r\n\r\n");
    drip(t, socket, "A");
    return socket;
  },
  "requests without end whose answers nobody reads": async (t, the) => {
    const socket = await tls(t, the, the.hub.estPort);
    socket.pause();
    const requests = `GET /no/such/path/${"x".repeat(200)} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(50_000);
    socket.write(requests);
    return socket;
  },
  "a device that never sends CONNECT": async (t, the) => (await tls(t, the, the.hub.mqttPort, true)).resume(),
  "a stranger whose CONNECT drips": async (t, the) => {
    const socket = (await tls(t, the, the.hub.mqttPort)).resume();
    socket.write(connectPacket("x".repeat(10_000)).subarray(0, 20));
    drip(t, socket, "x");
    return socket;
  },
};

test("[TUN-26] peers that begin and do not go on lose their connections, and others are served meanwhile", async (t) => {
  const the = await world(t);
  const peers = await Promise.all(Object.entries(STUCK).map(async ([name, begin]) => ({ name, socket: await begin(t, the) })));
  const ended = peers.map(async ({ name, socket }) => {
    await closed(socket);
    t.pass(`ended: ${name}`);
  });
  await the.othersAreServed(t);
  await Promise.all(ended);
  await the.othersAreServed(t);
});

interface Flood {
  readonly bytes: (id: string) => Buffer;
  readonly ends: boolean;
  /** Of the answer to each packet. */
  readonly answerBytes?: number;
  readonly event?: string;
}

/** Floods of a captured device. Each ends its connection, or is read no faster than others. */
const FLOODS: Readonly<Record<string, Flood>> = {
  "PINGREQ without end": {
    bytes: () => Buffer.concat(Array.from({ length: 100 * MQTT_PACKETS_BURST }, () => PINGREQ)),
    ends: false,
    answerBytes: 2,
  },
  "UNSUBSCRIBE without end": {
    bytes: () => Buffer.concat(Array.from({ length: 40 * MQTT_PACKETS_BURST }, () => unsubscribePacket(1, ["x/y"]))),
    ends: false,
    answerBytes: 4,
  },
  "QoS 2 messages that are never completed": {
    bytes: (id) =>
      Buffer.concat(
        Array.from({ length: 200 }, (_, n) =>
          publishPacket(`sallyport/1/${id}/up/event`, labMessage({ kind: "test" }), { qos: 2, id: n + 1 }),
        ),
      ),
    ends: true,
  },
  "a topic of 60 kB": {
    bytes: () => publishPacket("x".repeat(60_000), "", { qos: 1, id: 1 }),
    ends: true,
    event: "topic.refused",
  },
  "messages of the largest size on foreign topics": {
    bytes: () =>
      Buffer.concat(
        Array.from({ length: 32 }, () => publishPacket("sallyport/1/gw-2/up/event", Buffer.alloc(262_144), { qos: 1, id: 1 })),
      ),
    ends: true,
    event: "topic.refused",
  },
  "filters of the largest size": {
    bytes: () => Buffer.concat(Array.from({ length: 64 }, (_, n) => subscribePacket(n + 1, ["x".repeat(2000)]))),
    ends: true,
    event: "topic.refused",
  },
};

for (const [name, { bytes, ends, answerBytes = 1, event }] of Object.entries(FLOODS))
  test(`[TUN-22] [TUN-23] ${name}: others are served meanwhile`, async (t) => {
    const the = await world(t);
    const { socket, received } = await mqtt(t, the);
    const end = closed(socket);
    const flood = bytes(the.captured.device.id);
    socket.write(flood);
    await the.othersAreServed(t);
    if (ends) await end;
    else {
      t.notOk(socket.destroyed, "it is slowed down, not cut off");
      const answers = received() / answerBytes;
      t.ok(answers < 10 * MQTT_PACKETS_BURST, `and not read to its end: ${answers} answers`);
    }
    if (event !== undefined) t.match(await the.hub.store.journal.tail(10, "warning"), [{ event, deviceId: "gw-1" }]);
    const entries = await the.hub.store.journal.tail(1000, "warning");
    t.ok(
      entries.every(({ detail }) => JSON.stringify(detail).length <= 2048),
      "what is noted of it is bounded",
    );
  });

test("[TUN-26] a device that subscribes, acknowledges, and never reads loses its connection", async (t) => {
  const the = await world(t);
  const { id: deviceId } = the.captured.device;
  const { outbox } = the.hub.store;
  const large = {
    deviceId,
    channel: "operation",
    kind: "operation",
    queuedAtMs: Date.now(),
    expiresAtMs: Date.now() + 3_600_000,
  } as const;
  for (let n = 0; n < OUTBOX_PER_DEVICE_MAX; n++) {
    const id = randomUUID();
    await the.hub.store.commit(outbox.add({ ...large, id, correlation: id, message: "x".repeat(200_000) }));
  }
  const { socket } = await mqtt(t, the);
  socket.write(subscribePacket(1, [`sallyport/1/${deviceId}/down/#`]));
  socket.pause();
  // It acknowledges what it has not read, so that the hub sends one message after the other.
  const acknowledge = setInterval(() => {
    if (socket.destroyed) return;
    for (let id = 1; id <= OUTBOX_PER_DEVICE_MAX; id++) socket.write(pubackPacket(id));
  }, 200);
  t.teardown(() => clearInterval(acknowledge));
  await closed(socket);
  await the.othersAreServed(t);
});

test("[TUN-24] strangers at one address get no more handshakes than its pace has, and others do not wait", async (t) => {
  const the = await world(t);
  const secured = { count: 0 };
  const strangers = HANDSHAKES_BURST + 2 * HANDSHAKES_PER_S;
  const started = performance.now();
  for (let n = 0; n < strangers; n++) {
    const socket = connectTls({ socket: tcp(t, the.hub.estPort), servername: "localhost", ca: the.hub.anchors.authority });
    socket.on("error", () => undefined);
    socket.once("secureConnect", () => (secured.count += 1));
    t.teardown(() => socket.destroy());
  }
  await the.othersAreServed(t);
  await eventually("everybody to have a turn", async () => (secured.count === strangers ? true : undefined));
  t.ok(performance.now() - started >= 2000, "what is beyond the burst waited until it was paid back");
});

test("[TUN-23] a client without keep-alive may stay, and takes nothing from others", async (t) => {
  const the = await world(t);
  const { socket } = await mqtt(t, the, 0);
  await the.othersAreServed(t);
  t.notOk(socket.destroyed);
});

test("[TUN-23] two clients that end each other's connections without end are held back as one device", async (t) => {
  const the = await world(t);
  const { device, cert } = the.captured;
  const kick = async (): Promise<void> => {
    for (;;) {
      const { client, connack } = await connect(t, the.hub, device, cert);
      client.end(true);
      if (connack === "closed") return;
    }
  };
  await Promise.all([kick(), kick(), kick(), kick()]);
  await the.othersAreServed(t);
  const crowded = (await the.hub.store.journal.tail(1000, "alert")).find(({ event }) => event === "connection.crowded");
  t.match(crowded, { detail: { service: "mqtt", over: "pace", from: "gw-1" } });
});

/**
 * Sends requests on one connection without waiting for answers.
 * @returns how many had each status.
 */
async function pipelined(
  t: Test,
  the: World,
  request: string,
  count: number,
  withCertificate = false,
): Promise<ReadonlyMap<string, number>> {
  const socket = await tls(t, the, the.hub.estPort, withCertificate);
  const statuses = new Map<string, number>();
  const answered = { count: 0 };
  let rest = "";
  socket.on("data", (chunk) => {
    rest += chunk.toString("latin1");
    for (const [, status = ""] of rest.matchAll(/HTTP\/1\.1 (\d{3})[^]*?\r\n\r\n/gu)) {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      answered.count += 1;
    }
    rest = rest.slice(rest.lastIndexOf("\r\n\r\n") + 4);
  });
  socket.write(request.repeat(count));
  while (answered.count < count && !socket.destroyed) await Promise.race([once(socket, "data"), closed(socket)]);
  return statuses;
}

const head = (...lines: readonly string[]): string =>
  ["HEAD /repository/file HTTP/1.1", "Host: localhost", ...lines, "", ""].join("\r\n");

test("[TUN-25] files are asked for beyond an address's pace: it waits, other addresses and devices at the same one do not", async (t) => {
  const the = await world(t);
  // Fewer at once than the streams of an address.
  const served = { files: 0, refused: false };
  while (!served.refused && served.files < 4 * REPOSITORY_REQUESTS_BURST) {
    const statuses = await pipelined(t, the, head(), 200);
    served.files += statuses.get("200") ?? 0;
    served.refused = statuses.has("503");
  }
  t.ok(served.files >= REPOSITORY_REQUESTS_BURST, `${served.files} were served`);
  t.match(
    (await the.hub.store.journal.tail(10, "alert")).find(({ event }) => event === "connection.crowded"),
    { detail: { service: "est", over: "files", from: FROM } },
  );
  await the.othersAreServed(t);
  t.same(
    [...(await pipelined(t, the, head(), 10, true))],
    [["200", 10]],
    "a device that shows its certificate there has its own",
  );
});

test("[OTA-37] ranges and entity tags of the largest size cost one answer each", async (t) => {
  const the = await world(t);
  const ranges = `Range: bytes=${Array.from({ length: 1500 }, (_, n) => `${n}-${n}`).join(",")}`;
  const tags = `If-None-Match: ${Array.from({ length: 1500 }, (_, n) => `"${n}"`).join(", ")}`;
  for (const line of [ranges, tags, "Range: bytes=999999999999999-", "Range: bytes=-0"]) {
    const statuses = await pipelined(t, the, head(line), 200);
    t.equal(
      [...statuses.values()].reduce((sum, count) => sum + count, 0),
      200,
      [...statuses.keys()].join(" "),
    );
  }
  await the.othersAreServed(t);
});
