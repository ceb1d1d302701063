// Comparing a log that is shorter than the hub's with the hub's tree of that size: exact, at any
// size, and without hashing all records again.
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type Test } from "tap";
import type { AuditUpload } from "../../../agent/tunnel/format.ts";
import { AUDIT_FRONTIER_RECORDS } from "../../../hub/limits.ts";
import { createJournalWriter } from "../../../hub/journal.ts";
import { openStore, type Store } from "../../../hub/store/index.ts";
import { createWitness, type WitnessAnswer } from "../../../hub/witness/index.ts";
import { ed25519Raw, encodeVerifier, verifierOf } from "../../../warden/audit/format/index.ts";
import { labDevice, type LabDevice, type LabLog, labLog } from "../../lab/worlds/hub.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const SIZE = 1500;

interface Desk {
  readonly store: Store;
  readonly path: string;
  readonly device: LabDevice;
  readonly log: LabLog;
  /** Delivers, and stores what the witness takes. */
  readonly receive: (body: AuditUpload["body"]) => Promise<WitnessAnswer>;
  /** Records read from the store since the last call. */
  readonly read: () => number;
}

/**
 * A witness on a real store that has `SIZE` records of an approved device, from deliveries of
 * various sizes.
 */
async function openContext(t: Test): Promise<Desk> {
  const path = join(await temporaryDirectory(t), "hub.db");
  const store = await openStore(path);
  t.teardown(() => store.close());
  const device = await labDevice("gw-1");
  const { id, fingerprint, csr } = device;
  const auditKey = encodeVerifier(device.audit.verifier);
  await store.commit(
    store.devices.request({ id, fingerprint, csr, serialNumber: undefined, uris: [], auditKey, address: "?", seenAtMs: 1 }),
    store.devices.decide(id, fingerprint, "approved", 1, "test"),
  );
  const count = { read: 0 };
  const counted: Store = {
    ...store,
    audit: {
      ...store.audit,
      records: async (...args) => {
        const records = await store.audit.records(...args);
        count.read += records.length;
        return records;
      },
    },
  };
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const verifier = verifierOf("sallyport-hub/test", "cosignature/v1", ed25519Raw(publicKey));
  const witness = createWitness(counted, { privateKey, verifier });
  const receive = async (body: AuditUpload["body"]): Promise<WitnessAnswer> => {
    const { answer, change } = await witness.receive(id, body, false, createJournalWriter(store));
    if (change !== undefined) await store.commit(change);
    return answer;
  };
  const log = labLog(device, SIZE);
  for (let from = 0, to = 1; from < SIZE; [from, to] = [to, Math.min(SIZE, to + 61)])
    t.equal((await receive(log.delivery(from, to))).answer, "cosigned");
  return {
    store,
    path,
    device,
    log,
    receive,
    read: () => {
      const { read } = count;
      count.read = 0;
      return read;
    },
  };
}

test("[AUD-27] a shorter log costs the hub only a few records to read, at any size", async (t) => {
  const { store, log, receive, read } = await openContext(t);
  for (const size of [1, 255, 256, 257, 511, 1023, 1024, 1025, SIZE - 1]) {
    read();
    t.same(await receive(log.delivery(0, size)), { answer: "conflict", size: SIZE });
    const records = read();
    t.ok(records < AUDIT_FRONTIER_RECORDS, `${records} records read for size ${size}`);
    t.match(await store.journal.tail(1, "alert"), [{ event: "audit.rolled-back", detail: { size, state: "a prefix of ours" } }]);
  }
});

test("[AUD-27] a fork is distinguished from a rollback at every size", async (t) => {
  const { store, device, receive } = await openContext(t);
  const other = labLog(device, SIZE, "two");
  for (const size of [1, 255, 256, 257, 1024, SIZE - 1]) {
    t.same(await receive(other.delivery(0, size)), { answer: "conflict", size: SIZE });
    t.match(await store.journal.tail(1, "alert"), [{ event: "audit.forked", detail: { size, state: "another history" } }]);
  }
});

test("[AUD-9] a store of the previous version keeps its logs, and compares recent sizes", async (t) => {
  const { store, path, log, receive } = await openContext(t);
  const database = new DatabaseSync(path);
  t.teardown(() => database.close());
  database.exec("DROP TABLE auditFrontiers; DROP TABLE outbox; DROP TABLE escrows; PRAGMA user_version = 1");
  const again = await openStore(path);
  await again.close();
  t.equal(database.prepare("SELECT count(*) AS n FROM auditRecords").get()?.["n"], SIZE);
  await receive(log.delivery(0, SIZE - 1));
  t.match(await store.journal.tail(1, "alert"), [{ detail: { state: "a prefix of ours" } }]);
  database.exec("DELETE FROM auditRecords WHERE seq = 700");
  await receive(log.delivery(0, SIZE - 2));
  t.match(await store.journal.tail(1, "alert"), [{ event: "audit.rolled-back", detail: { state: "not compared" } }]);
});
