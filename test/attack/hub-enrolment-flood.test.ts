// A flood of enrolment requests that are well formed and really signed: sending one needs no
// certificate. A device's own request stays there to be approved, the operator gets one alert for
// the flood, and neither the list of requests nor the journal grows with it.
import { generateKeyPairSync } from "node:crypto";
import { Agent, request } from "node:https";
import { test, type Test } from "tap";
import { deny, forget } from "../../hub/devices/index.ts";
import type { Hub } from "../../hub/index.ts";
import {
  ENROLMENTS_BURST,
  PENDING_NEW_BURST,
  PENDING_PER_ID_MAX,
  PENDING_PER_SOURCE_MAX,
  PENDING_REQUESTS_MAX,
} from "../../hub/limits.ts";
import { certificateIn, EST, labDevice, type LabDevice, labHub, simpleEnrol } from "../lab/worlds/hub.ts";

/**
 * A stranger with its own address, who keeps its connection.
 * @returns a function that sends a request and resolves with the status of the answer.
 */
function stranger(t: Test, hub: Hub, address: string): (csr: Uint8Array) => Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  t.teardown(() => agent.destroy());
  return async (csr) =>
    new Promise((resolve, reject) => {
      const outgoing = request({
        host: "127.0.0.1",
        servername: "localhost",
        port: hub.estPort,
        localAddress: address,
        agent,
        ca: hub.anchors.authority,
        path: `${EST}/simpleenroll`,
        method: "POST",
        headers: { "content-type": "application/pkcs10" },
      });
      outgoing.on("error", reject);
      outgoing.on("response", (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
      });
      outgoing.end(Buffer.from(csr).toString("base64"));
    });
}

async function times<T>(count: number, make: (n: number) => Promise<T>): Promise<readonly T[]> {
  const made: T[] = [];
  for (let n = 0; n < count; n++) made.push(await make(n));
  return made;
}

/** The requests of devices, by name. */
const pending = async (hub: Hub) => (await hub.store.devices.list(10_000)).filter(({ state }) => state === "pending");
const crowded = async (hub: Hub) =>
  (await hub.store.journal.tail(1000, "alert")).filter(({ event }) => event === "enrolment.crowded");

/** An approval works, and the key of the request gets the certificate. */
async function getsIn(t: Test, hub: Hub, device: LabDevice): Promise<void> {
  t.equal((await simpleEnrol(hub, device.csr)).status, 202, "it waits like every other request");
  await hub.approve(device.id, device.fingerprint);
  t.ok(certificateIn(await simpleEnrol(hub, device.csr)));
}

test("[ID-7] strangers who ask with a device's id and their own keys do not keep the device out", async (t) => {
  const { hub } = await labHub(t);
  const ask = stranger(t, hub, "127.0.0.66");
  const impostors = await times(3 * PENDING_PER_ID_MAX, async () => labDevice("gw-1"));
  for (const { csr } of impostors) t.equal(await ask(csr), 202);
  t.equal((await pending(hub)).length, PENDING_PER_ID_MAX);
  const device = await labDevice("gw-1");
  await simpleEnrol(hub, device.csr);
  for (const { csr } of impostors) await ask(csr); // all of them again, from where they were
  t.equal((await hub.store.devices.find(device.id, device.fingerprint))?.state, "pending", "a flood displaces only itself");
  t.match(
    await crowded(hub),
    [{ severity: "alert", detail: { over: "id", id: "gw-1", from: "127.0.0.66" } }],
    "one line for the whole flood",
  );
  await getsIn(t, hub, device);
});

test("[ID-7] a denied request takes no place from a device that asks", async (t) => {
  const { hub } = await labHub(t);
  const desk = { store: hub.store };
  const ask = stranger(t, hub, "127.0.0.66");
  const rounds = 4;
  for (let round = 0; round < rounds; round++) {
    for (const { csr } of await times(PENDING_PER_ID_MAX, async () => labDevice("gw-1"))) await ask(csr);
    t.equal((await deny(desk, (await labDevice("gw-1")).id, undefined, "test")).length, PENDING_PER_ID_MAX);
  }
  const device = await labDevice("gw-1");
  t.ok((await hub.store.devices.ofId(device.id)).length < rounds * PENDING_PER_ID_MAX, "the oldest denials are removed");
  t.same(await crowded(hub), [], "nothing was displaced: the places were free again");
  await getsIn(t, hub, device);
  await forget(desk, device.id, undefined, "test");
  t.match(await hub.store.devices.ofId(device.id), [{ state: "approved" }], "only the device is left");
});

test("[ID-7] a thousand invented ids keep no device out, and their alert is one line", async (t) => {
  const { hub } = await labHub(t);
  const early = await labDevice("gw-early");
  await simpleEnrol(hub, early.csr);
  const addresses = Array.from({ length: 5 }, (_, n) => `127.0.1.${n + 1}`);
  for (const [n, address] of addresses.entries()) {
    const ask = stranger(t, hub, address);
    const invented = await times(PENDING_PER_SOURCE_MAX + 8, async (k) => labDevice(`invented-${n}-${k}`));
    const statuses = await Promise.all(invented.map(async ({ csr }) => ask(csr)));
    t.ok(
      statuses.every((status) => status === 202),
      address,
    );
  }
  t.equal((await pending(hub)).length, PENDING_REQUESTS_MAX);
  t.equal(
    (await hub.store.devices.find(early.id, early.fingerprint))?.state,
    "pending",
    "a request from before the flood is still there",
  );
  await getsIn(t, hub, await labDevice("gw-late"));
  await hub.approve(early.id, early.fingerprint);
  t.ok((await crowded(hub)).length <= 2 * addresses.length, "the requests are counted, not stored");
  t.ok(
    (await hub.store.journal.tail(100_000, "info")).length <= PENDING_REQUESTS_MAX + 100,
    "nor does the rest of the journal grow",
  );
});

test("[ID-27] new requests of one address are accepted at a pace: further ones wait, those of other addresses do not", async (t) => {
  const { hub } = await labHub(t);
  const ask = stranger(t, hub, "127.0.0.66");
  const known = await labDevice("gw-known");
  // A request that was repeated is displaced last.
  for (const round of [1, 2]) t.equal(await ask(known.csr), 202, String(round));
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  // Enough to be over the pace, whatever is paid back meanwhile. They are made before the first one
  // is sent, so that a slow machine sends them as fast as the hub answers.
  const invented = await times(2 * PENDING_NEW_BURST - 64, (n) => labDevice(`invented-${n}`, { key, withoutAuditKey: true }));
  const statuses: number[] = [];
  while (!statuses.includes(503) && statuses.length < invented.length) {
    const next = invented.slice(statuses.length, statuses.length + 8);
    statuses.push(...(await Promise.all(next.map(({ csr }) => ask(csr)))));
  }
  const accepted = statuses.filter((status) => status === 202).length;
  t.ok(accepted >= PENDING_NEW_BURST - 1, `${accepted} were accepted`);
  t.ok(statuses.includes(503), "and then one was not");
  t.equal(await ask(known.csr), 202, "a request that is known is repeated at that address");
  t.match(
    (await crowded(hub)).find(({ detail }) => detail["over"] === "pace"),
    { detail: { from: "127.0.0.66" } },
  );
  await getsIn(t, hub, await labDevice("gw-1"));
});

test("[TUN-25] one key asks for certificates at a pace: it gets 429, and another device at that address does not", async (t) => {
  const { hub } = await labHub(t);
  const ask = stranger(t, hub, "127.0.0.66");
  const [hasty, other] = [await labDevice("gw-1"), await labDevice("gw-2")];
  await getsIn(t, hub, hasty);
  const statuses: number[] = [];
  while (!statuses.includes(429) && statuses.length < 8 * ENROLMENTS_BURST) statuses.push(await ask(hasty.csr));
  t.equal(statuses.at(-1), 429);
  t.ok(statuses.length > ENROLMENTS_BURST / 2, `${statuses.length} were answered`);
  t.equal(await ask(other.csr), 202);
});
