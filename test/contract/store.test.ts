// What the hub asks of its store, whatever engine it has: by the interface of `hub/store` alone, so
// that another engine can take this test by one more line in STORES. What the engines of SQLite
// promise beyond it is in store-engine.test.ts.
import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { deviceIdSchema } from "../../hal/format/identity.ts";
import { openStore, retryOnConflict, type Store } from "../../hub/store/index.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

/** Each makes a place for a store, and opens it there as often as it is called. */
const STORES: Readonly<Record<string, (t: Test) => Promise<() => Promise<Store>>>> = {
  "SQLite on the caller's thread": async (t) => {
    const path = join(await temporaryDirectory(t), "hub.db");
    return () => openStore(path);
  },
  "SQLite on threads of its own": async (t) => {
    const path = join(await temporaryDirectory(t), "hub.db");
    return () => openStore(path, { threads: true });
  },
};

const ID = v.parse(deviceIdSchema, "gw-1");
const FINGERPRINT = `sha256:${"a".repeat(64)}` as const;
const asking = (n: number) => ({
  id: ID,
  fingerprint: FINGERPRINT,
  csr: Uint8Array.of(n),
  serialNumber: undefined,
  uris: ["urn:dev:mac:02005efffe100001"],
  auditKey: undefined,
  address: "::1",
  seenAtMs: n,
});
const message = (id: string, at = 1) =>
  ({ id, channel: "event", at: "2026-11-22T10:00:00Z", receivedAtMs: at, body: "{}" }) as const;

for (const [name, place] of Object.entries(STORES)) {
  const start = async (t: Test) => {
    const open = await place(t);
    const opened = async (): Promise<Store> => {
      const store = await open();
      t.teardown(() => store.close());
      return store;
    };
    return { store: await opened(), opened };
  };

  test(`${name}: a commit is all or nothing, and the next one to open the store sees it`, async (t) => {
    const { store, opened } = await start(t);
    const id = randomUUID();
    await store.commit(store.devices.request(asking(1)), store.messages.add(ID, message(id)));
    await t.rejects(
      store.commit(
        store.devices.decide(ID, FINGERPRINT, "approved", 2, "ada"),
        store.messages.add(ID, message(randomUUID())),
        store.messages.add(ID, message(id)), // known
      ),
      { code: "hub.store-conflict" },
    );
    const other = await opened();
    for (const each of [store, other]) {
      t.match(await each.devices.find(ID, FINGERPRINT), { state: "pending", csr: Uint8Array.of(1), decidedAtMs: undefined });
      t.equal((await each.messages.last(ID, "event", 10)).length, 1);
    }
  });

  test(`${name}: of two decisions on the same ground, one is made again`, async (t) => {
    const { store, opened } = await start(t);
    const other = await opened();
    await store.commit(store.devices.request(asking(1)));
    const attempts = { count: 0 };
    const decide = (on: Store, state: "approved" | "denied") =>
      retryOnConflict(async () => {
        attempts.count += 1;
        const device = await on.devices.find(ID, FINGERPRINT);
        if (device?.state !== "pending") return device?.state;
        // Both have read before one of them writes.
        if (attempts.count === 1) await other.commit(other.devices.decide(ID, FINGERPRINT, "denied", 2, "bob"));
        await on.commit(on.devices.unchanged(device), on.devices.decide(ID, FINGERPRINT, state, 3, "ada"));
        return state;
      });
    t.equal(await decide(store, "approved"), "denied");
    t.equal(attempts.count, 2);
    t.match(await store.devices.find(ID, FINGERPRINT), { state: "denied", decidedBy: "bob" });
  });

  test(`${name}: commits keep their order, one that fails takes no other with it, and reads see what resolved`, async (t) => {
    const { store } = await start(t);
    const ids = Array.from({ length: 100 }, () => randomUUID());
    const outcomes = await Promise.allSettled(
      ids.flatMap((id, n) => [
        store.commit(store.messages.add(ID, message(id, n))),
        store.commit(store.messages.add(ID, message(id, n))),
      ]),
    );
    t.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 100);
    t.same(new Set(await store.messages.known(ID, ids)), new Set(ids));
  });

  test(`${name}: only what others commit changes the version, and closing writes what was counted`, async (t) => {
    const { store, opened } = await start(t);
    const version = await store.version();
    await store.commit(store.devices.request(asking(1)));
    t.equal(await store.version(), version);
    const other = await opened();
    other.journal.note("device.denied", ID, { by: "ada" }, 1);
    await other.close();
    t.not(await store.version(), version);
    t.match(await store.journal.tail(10, "info"), [{ event: "device.denied", deviceId: ID, detail: { by: "ada" }, times: 1 }]);
    await store.close();
    await store.close();
    await t.rejects(store.devices.list(1), { code: "hub.store-failed" });
  });
}

test("no SQL and no type of SQLite's is outside of the store", async (t) => {
  const hub = join(import.meta.dirname, "../../hub");
  const files = (await readdir(hub, { recursive: true })).filter((file) => file.endsWith(".ts") && !file.startsWith("store/"));
  t.ok(files.length > 40);
  const sql = /\b(?:SELECT .* FROM|INSERT INTO|DELETE FROM|UPDATE \w+ SET|PRAGMA)\b|node:sqlite|\bSql[A-Z]\w*|\.statements\b/u;
  const found: string[] = [];
  for (const file of files) if (sql.test(await readFile(join(hub, file), "utf8"))) found.push(file);
  t.same(found, ["state/lock.ts"], "whose lock is one that the kernel frees: a transaction that never ends");
});
