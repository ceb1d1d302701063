// The uploader between a real warden process and a witness that verifies as a hub does.
import { type Test, test } from "tap";
import { type AuditUploader, createAuditUploader } from "../../../agent/audit/index.ts";
import { ANSWER_WAIT_MS_MAX, type UploadAnswer } from "../../../agent/audit/uploader.ts";
import type { AuditUpload } from "../../../agent/tunnel/format.ts";
import { Fault } from "../../../hal/fault.ts";
import {
  cosign,
  decodeCheckpoint,
  decodeNote,
  decodeVerifier,
  EMPTY_FRONTIER,
  encodeNote,
  type Frontier,
  verifyDelivery,
} from "../../../warden/audit/format/index.ts";
import type { WardenClient } from "../../../warden/client/index.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { eventually } from "../../lab/runner/process.ts";
import { type LabWarden, labWarden } from "../../lab/worlds/warden.ts";

interface Fixture {
  readonly warden: WardenClient;
  readonly uploader: AuditUploader;
  readonly deliveries: AuditUpload["body"][];
  readonly clock: ReturnType<typeof fakeClock>;
  witnessed(): Frontier;
}

/**
 * @param answer the answer to delivery number n instead of the hub's verdict; `silent`: none;
 *   `closed`: the tunnel refuses the delivery.
 */
async function fixture(
  t: Test,
  lab: LabWarden,
  answer: (n: number, tree: Frontier, records: number) => UploadAnswer | "silent" | "closed" | undefined = () => undefined,
): Promise<Fixture> {
  await lab.start();
  const warden = lab.client();
  const { auditKey } = await warden.call("identity.read", {});
  const clock = fakeClock();
  const deliveries: AuditUpload["body"][] = [];
  const hub = { tree: EMPTY_FRONTIER };
  const judge = (body: AuditUpload["body"]): UploadAnswer => {
    if (body.oldSize !== hub.tree.size) return { answer: "conflict", size: hub.tree.size };
    const bytes = {
      ...body,
      proof: body.proof.map((hash) => Buffer.from(hash, "base64")),
      records: body.records.map((record) => Buffer.from(record, "base64")),
    };
    const { note, tree } = verifyDelivery(hub.tree, bytes, decodeVerifier(auditKey));
    hub.tree = tree;
    return {
      answer: "cosigned",
      checkpoint: encodeNote({
        text: note.text,
        signatures: [...note.signatures, cosign(note.text, 1_800_000_000, lab.hub.witness)],
      }),
    };
  };
  const uploader = createAuditUploader({
    warden,
    clock,
    random: () => 0,
    deliver: async (body) => {
      deliveries.push(body);
      const reply = answer(deliveries.length, hub.tree, body.records.length) ?? judge(body);
      if (reply === "closed") throw new Fault("tunnel.closed", "the tunnel is not connected");
      if (reply !== "silent") setImmediate(() => uploader.answer(reply));
    },
  });
  t.teardown(async () => {
    await uploader.stop();
    warden.close();
  });
  return { warden, uploader, deliveries, clock, witnessed: () => hub.tree };
}

const sizeIn = (checkpoint: string): number => decodeCheckpoint(decodeNote(checkpoint).text).size;

async function appendMany(warden: WardenClient, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await warden.call("audit.append", { event: "agent.started", result: "ok", detail: { n } });
}

test("[AUD-9] the whole log is uploaded in pieces that fit, and the warden counts it as witnessed", async (t) => {
  const { warden, uploader, deliveries, ...hub } = await fixture(t, await labWarden(t));
  await appendMany(warden, 150);
  uploader.connected();
  const { audit } = await eventually("all witnessed", async () => {
    const status = await warden.call("status.read", {});
    return status.audit.witnessedSize >= 150 && status.audit.witnessedSize === status.audit.size ? status : undefined;
  });
  t.equal(hub.witnessed().size, audit.size);
  t.ok(deliveries.length >= 3, "at most 64 records in one");
  t.equal(uploader.trouble(), undefined);
});

test("[AUD-9] the upload resumes from the size that the hub reports", async (t) => {
  const lab = await labWarden(t);
  const first = await fixture(t, lab);
  await appendMany(first.warden, 10);
  // The hub accepted the first delivery, and its answer was lost with the connection.
  const { uploader, deliveries, warden } = first;
  uploader.connected();
  await eventually("witnessed", async () => (first.witnessed().size >= 10 ? true : undefined));
  await uploader.stop();
  await appendMany(warden, 3);
  const before = deliveries.length;
  uploader.connected();
  await eventually("the rest", async () =>
    (await warden.call("status.read", {})).audit.witnessedSize === first.witnessed().size && first.witnessed().size >= 13
      ? true
      : undefined,
  );
  t.ok(
    deliveries.slice(before).every(({ oldSize }) => oldSize >= 10),
    "nothing is uploaded twice",
  );
});

test("[AUD-27] a hub with a longer log than this one is a conflict, and nothing more is delivered", async (t) => {
  const { uploader, deliveries, clock, warden } = await fixture(t, await labWarden(t), (n) =>
    n === 1 ? { answer: "conflict", size: 4096 } : "silent",
  );
  await appendMany(warden, 2);
  uploader.connected();
  const fault = await eventually("a fault", async () => uploader.trouble());
  t.match(fault, { code: "witness.conflict", message: /the hub has 4096 audit records/ });
  await clock.advance(3_600_000);
  t.equal(deliveries.length, 1);
  uploader.disconnected();
  t.equal(uploader.trouble()?.code, "witness.conflict", "the conflict stays while the network is away");
});

test("a hub that does not answer gets the delivery again; the fault is a timeout, not a conflict", async (t) => {
  const { uploader, deliveries, clock, warden } = await fixture(t, await labWarden(t), (n) => (n === 1 ? "silent" : undefined));
  await appendMany(warden, 2);
  uploader.connected();
  await eventually("a delivery", async () => (deliveries.length === 1 && clock.sleeping > 0 ? true : undefined));
  await clock.advance(ANSWER_WAIT_MS_MAX);
  t.equal((await eventually("a fault", async () => uploader.trouble())).code, "tunnel.timeout");
  await clock.advance(60_000);
  await eventually("witnessed", async () => ((await warden.call("status.read", {})).audit.witnessedSize > 0 ? true : undefined));
  await eventually("no fault", async () => (uploader.trouble() === undefined ? true : undefined));
});

test("a tunnel that takes no delivery yet is no trouble, and gets it a little later", async (t) => {
  const { uploader, deliveries, clock, warden } = await fixture(t, await labWarden(t), (n) => (n === 1 ? "closed" : undefined));
  await appendMany(warden, 2);
  uploader.connected();
  await eventually("a refused delivery", async () => (deliveries.length === 1 && clock.sleeping > 0 ? true : undefined));
  t.equal(uploader.trouble(), undefined);
  await clock.advance(60_000);
  await eventually("witnessed", async () => ((await warden.call("status.read", {})).audit.witnessedSize > 0 ? true : undefined));
});

test("a session that ended during a call to the warden delivers nothing on the next connection", async (t) => {
  const lab = await labWarden(t);
  const { uploader, deliveries, warden } = await fixture(t, lab);
  await appendMany(warden, 5);
  for (let n = 0; n < 20; n += 1) {
    uploader.connected();
    for (let turn = 0; turn < n; turn += 1) await Promise.resolve();
    uploader.disconnected();
  }
  uploader.connected();
  await eventually("witnessed", async () => ((await warden.call("status.read", {})).audit.witnessedSize >= 5 ? true : undefined));
  const starts = deliveries.map(({ oldSize, checkpoint }) => `${oldSize}-${sizeIn(checkpoint)}`);
  t.same(new Set(starts).size, starts.length, "each piece once");
});

test("[STA-15] [AUD-9] a broker that cuts the connection at large deliveries gets smaller ones, and all records arrive", async (t) => {
  const lab = await labWarden(t);
  const { warden, uploader, deliveries, clock, ...hub } = await fixture(t, lab, (_n, _tree, records) =>
    records > 5 ? "closed" : undefined,
  );
  for (let n = 0; n < 60; n++) await warden.call("audit.append", { event: "agent.started", result: "ok", detail: { n } });
  uploader.connected();
  await eventually("all of them", async () => {
    await clock.advance(60_000);
    return hub.witnessed().size > 60 ? true : undefined;
  });
  t.ok(deliveries.every(({ records }) => records.length <= 64));
  t.ok(deliveries.filter(({ records }) => records.length > 5).length < 20, "few were cut");
  t.equal(uploader.trouble(), undefined);
});
