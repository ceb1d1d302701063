// What every engine of the hub's store promises, checked with the one on the caller's thread and
// with the one on threads of its own.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type Test } from "tap";
import type { Engine } from "../../hub/store/engine.ts";
import { openSqlite } from "../../hub/store/sqlite.ts";
import { openSqliteThreads } from "../../hub/store/threaded.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const ENGINES = {
  "on the caller's thread": async (path: string) => openSqlite(path),
  "on threads of its own": async (path: string) => openSqliteThreads(path),
} as const;

/** A row of any table will do. */
const ADD = "INSERT INTO connections VALUES (?, 1, '::1', 'aa', 'TLSv1.3', 'c', 'g')";
const IDS = "SELECT deviceId FROM connections ORDER BY deviceId";
const add = (id: string) => ({ sql: ADD, parameters: [id] });

for (const [where, open] of Object.entries(ENGINES)) {
  const start = async (t: Test): Promise<{ readonly engine: Engine; readonly path: string }> => {
    const path = join(await temporaryDirectory(t), "hub.db");
    const engine = await open(path);
    t.teardown(() => engine.close());
    return { engine, path };
  };
  const ids = async (engine: Engine) => (await engine.read(IDS, [])).map((row) => row["deviceId"]);

  test(`${where}: a commit is atomic, and on the disk when it resolves`, async (t) => {
    const { engine, path } = await start(t);
    const [, second] = await engine.commit([add("a"), { sql: `${ADD} RETURNING deviceId`, parameters: ["b"] }]);
    t.same(second?.rows, [{ deviceId: "b" }]);
    const other = new DatabaseSync(path, { readOnly: true });
    t.teardown(() => other.close());
    t.equal(other.prepare("SELECT count(*) AS n FROM connections").get()?.["n"], 2, "another process sees it");
    await t.rejects(engine.commit([add("c"), { sql: "INSERT INTO nothing VALUES (1)", parameters: [] }]), {
      code: "hub.store-failed",
    });
    await t.rejects(engine.commit([add("c"), add("a")]), { code: "hub.store-conflict" });
    t.same(await ids(engine), ["a", "b"], "nothing of a failed commit is there");
  });

  test(`${where}: a guard that finds nothing fails its own commit, and no other one of the same group`, async (t) => {
    const { engine } = await start(t);
    const guard = { sql: "SELECT 1 FROM connections WHERE deviceId = ?", parameters: ["nobody"], guard: true };
    const outcomes = await Promise.allSettled([
      engine.commit([add("a")]),
      engine.commit([add("b"), guard]),
      engine.commit([{ sql: "UPDATE connections SET since = 2 WHERE deviceId = 'x'", parameters: [], guard: true }]),
      engine.commit([{ ...guard, parameters: ["a"] }, add("c")]),
    ]);
    t.match(outcomes, [
      { status: "fulfilled" },
      { status: "rejected", reason: { code: "hub.store-conflict" } },
      { status: "rejected", reason: { code: "hub.store-conflict" } },
      { status: "fulfilled" },
    ]);
    t.same(await ids(engine), ["a", "c"]);
  });

  test(`${where}: commits keep the order in which they were asked for, and a read sees those that resolved`, async (t) => {
    const { engine } = await start(t);
    const times = Array.from({ length: 500 }, (_, n) => n);
    await engine.commit([add("a")]);
    await Promise.all(
      times.map(async (n) => {
        await engine.commit([
          { sql: "UPDATE connections SET since = ? WHERE since = ?", parameters: [n + 2, n + 1], guard: true },
        ]);
      }),
    );
    t.same(await engine.read("SELECT since FROM connections", []), [{ since: 501 }]);
  });

  test(`${where}: many commits at once share the writes to the disk`, async (t) => {
    const { engine, path } = await start(t);
    const size = () => {
      const other = new DatabaseSync(path);
      const frames = other.prepare("PRAGMA wal_checkpoint(PASSIVE)").get()?.["log"];
      other.close();
      return Number(frames);
    };
    const before = size();
    await Promise.all(Array.from({ length: 200 }, async (_, n) => engine.commit([add(`d${n}`)])));
    t.ok(size() - before < 200, "each commit of its own would be two frames or more of the log");
    t.equal((await ids(engine)).length, 200);
  });

  test(`${where}: bytes, NULL and names arrive as they were given`, async (t) => {
    const { engine } = await start(t);
    const [row] = await engine.read("SELECT :bytes AS bytes, :none AS none, :text AS text", {
      bytes: Uint8Array.of(0, 255),
      none: null,
      text: "ä\u0000b",
    });
    t.same(Buffer.from(row?.["bytes"] instanceof Uint8Array ? row["bytes"] : []), Buffer.of(0, 255));
    t.match(row, { none: null, text: "ä\u0000b" });
  });

  test(`${where}: only the commits of others change the version`, async (t) => {
    const { engine, path } = await start(t);
    const version = await engine.version();
    await engine.commit([add("a")]);
    t.equal(await engine.version(), version);
    const other = new DatabaseSync(path);
    other.exec("DELETE FROM connections");
    other.close();
    t.not(await engine.version(), version);
  });

  test(`${where}: closing finishes what was asked for, and later calls fail`, async (t) => {
    const { engine, path } = await start(t);
    const last = engine.commit([add("a")]);
    await engine.close();
    await last;
    await engine.close();
    await t.rejects(engine.read(IDS, []), { code: "hub.store-failed" });
    await t.rejects(engine.commit([add("b")]), { code: "hub.store-failed" });
    const again = await open(path);
    t.same(await ids(again), ["a"]);
    await again.close();
  });
}

test("while a commit waits for another process, reads on threads are answered", async (t) => {
  const path = join(await temporaryDirectory(t), "hub.db");
  const engine = await openSqliteThreads(path);
  t.teardown(() => engine.close());
  const other = new DatabaseSync(path);
  t.teardown(() => other.close());
  other.exec("BEGIN IMMEDIATE");
  const order: string[] = [];
  const waiting = engine.commit([add("a")]).then(() => order.push("commit"));
  for (let n = 0; n < 20; n++) await engine.read(IDS, []);
  order.push("reads");
  other.exec("COMMIT");
  await waiting;
  t.same(order, ["reads", "commit"]);
});
