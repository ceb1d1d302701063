// The courier between a real warden process and a witness that keeps what a hub keeps.
import { type Test, test } from "tap";
import { type AuditUploader, createAuditUploader } from "../../../agent/audit/index.ts";
import { ANSWER_WAIT_MS_MAX } from "../../../agent/audit/limits.ts";
import type { AuditAnswer, AuditUpload } from "../../../agent/tunnel/format.ts";
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

interface Desk {
  readonly warden: WardenClient;
  readonly uploader: AuditUploader;
  readonly deliveries: AuditUpload["body"][];
  readonly clock: ReturnType<typeof fakeClock>;
  witnessed(): Frontier;
}

/** @param answer what the hub says to delivery number n instead of judging it; `silent`: nothing. */
async function desk(
  t: Test,
  lab: LabWarden,
  answer: (n: number, held: Frontier) => AuditAnswer["body"] | "silent" | undefined = () => undefined,
): Promise<Desk> {
  await lab.start();
  const warden = lab.client();
  const { auditKey } = await warden.call("identity.read", {});
  const clock = fakeClock();
  const deliveries: AuditUpload["body"][] = [];
  const hub = { held: EMPTY_FRONTIER };
  const judge = (body: AuditUpload["body"]): AuditAnswer["body"] => {
    if (body.oldSize !== hub.held.size) return { answer: "conflict", size: hub.held.size };
    const bytes = {
      ...body,
      proof: body.proof.map((hash) => Buffer.from(hash, "base64")),
      records: body.records.map((record) => Buffer.from(record, "base64")),
    };
    const { note, tree } = verifyDelivery(hub.held, bytes, decodeVerifier(auditKey));
    hub.held = tree;
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
      const said = answer(deliveries.length, hub.held) ?? judge(body);
      if (said !== "silent") setImmediate(() => uploader.answer(said));
    },
  });
  t.teardown(async () => {
    await uploader.stop();
    warden.close();
  });
  return { warden, uploader, deliveries, clock, witnessed: () => hub.held };
}

const sizeIn = (checkpoint: string): number => decodeCheckpoint(decodeNote(checkpoint).text).size;

async function appendMany(warden: WardenClient, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await warden.call("audit.append", { event: "agent.started", result: "ok", detail: { n } });
}

test("[AUD-9] the whole log is carried, in pieces that fit, and the warden counts it witnessed", async (t) => {
  const { warden, uploader, deliveries, ...hub } = await desk(t, await labWarden(t));
  await appendMany(warden, 150);
  uploader.connected();
  const { audit } = await eventually("all witnessed", async () => {
    const status = await warden.call("status.read", {});
    return status.audit.witnessedSize >= 150 && status.audit.witnessedSize === status.audit.size ? status : undefined;
  });
  t.equal(hub.witnessed().size, audit.size);
  t.ok(deliveries.length >= 3, "64 records at most in one");
  t.equal(uploader.trouble(), undefined);
});

test("[AUD-9] a hub that has another size is resumed from there", async (t) => {
  const lab = await labWarden(t);
  const first = await desk(t, lab);
  await appendMany(first.warden, 10);
  // the hub took the first delivery, and its answer was lost with the connection
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
    "nothing is carried twice",
  );
});

test("[AUD-9] a hub that knows a longer log than this one is a conflict with words, and nothing more is delivered", async (t) => {
  const { uploader, deliveries, clock, warden } = await desk(t, await labWarden(t), (n) =>
    n === 1 ? { answer: "conflict", size: 4096 } : "silent",
  );
  await appendMany(warden, 2);
  uploader.connected();
  const fault = await eventually("a trouble", async () => uploader.trouble());
  t.match(fault, { code: "witness.conflict", message: /the hub has 4096 audit records/ });
  await clock.advance(3_600_000);
  t.equal(deliveries.length, 1);
  uploader.disconnected();
  t.equal(uploader.trouble()?.code, "witness.conflict", "and it stays a trouble while the network is away");
});

test("a hub that does not answer is asked again later; the trouble is its silence, not the log", async (t) => {
  const { uploader, deliveries, clock, warden } = await desk(t, await labWarden(t), (n) => (n === 1 ? "silent" : undefined));
  await appendMany(warden, 2);
  uploader.connected();
  await eventually("a delivery", async () => (deliveries.length === 1 && clock.sleeping > 0 ? true : undefined));
  await clock.advance(ANSWER_WAIT_MS_MAX);
  t.equal((await eventually("a trouble", async () => uploader.trouble())).code, "tunnel.timeout");
  await clock.advance(60_000);
  await eventually("witnessed", async () => ((await warden.call("status.read", {})).audit.witnessedSize > 0 ? true : undefined));
  await eventually("no trouble", async () => (uploader.trouble() === undefined ? true : undefined));
});

test("a session that ended while the warden was asked delivers nothing on the next connection", async (t) => {
  const lab = await labWarden(t);
  const { uploader, deliveries, warden } = await desk(t, lab);
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
