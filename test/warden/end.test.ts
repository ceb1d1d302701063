// The end of the program: stopped in order, and killed at any moment.
import { test } from "tap";
import { labWarden, verifiedLog } from "../lab/worlds/warden.ts";

const BORN = { protection: "file", keyFingerprint: `sha256:${"ab".repeat(32)}` } as const;

test("SIGTERM and SIGINT end it cleanly: begun requests are answered, the stop is recorded, and the log goes on with the next start", async (t) => {
  const lab = await labWarden(t);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const warden = await lab.start();
    const client = lab.client();
    await client.call("audit.append", { event: "agent.started", result: "ok" });
    t.match(await warden.stop(signal), { code: 0, signal: null });
    client.close();
  }
  await lab.start();
  const log = await verifiedLog(lab.client());
  const events = log.map(({ event }) => event);
  t.equal(events.filter((event) => event === "warden.started").length, 3);
  t.equal(events.filter((event) => event === "warden.stopped").length, 2);
  t.same(
    log.filter(({ event }) => event === "warden.stopped").map(({ detail }) => detail?.["reason"]),
    ["SIGTERM", "SIGINT"],
  );
});

test("[AUD-10] after SIGKILL at any moment every answered append is in the log, the log verifies, and the id stays", async (t) => {
  const lab = await labWarden(t);
  const answered: number[] = [];
  let n = 0;
  for (let round = 0; round < 8; round++) {
    const warden = await lab.start();
    const client = lab.client();
    const until = Promise.withResolvers<void>();
    const killAt = answered.length + 1 + round * 3;
    const flood = Array.from({ length: 4 }, async () => {
      for (;;) {
        const mine = n++;
        try {
          await client.call("audit.append", { event: "agent.started", result: "ok", detail: { n: mine } });
        } catch {
          return; // the warden is gone: an append without an answer may or may not be in the log
        }
        answered.push(mine);
        if (answered.length >= killAt) until.resolve();
      }
    });
    await until.promise;
    await warden.stop("SIGKILL");
    await Promise.all(flood);
    client.close();
  }
  await lab.start();
  const there = new Set((await verifiedLog(lab.client())).map(({ detail }) => detail?.["n"]));
  t.same(
    answered.filter((mine) => !there.has(mine)),
    [],
    `${answered.length} appends were answered`,
  );
});

test("after SIGKILL before or while the birth is recorded the next start has no birth record or the complete one", async (t) => {
  for (const waitMs of [0, 1, 3]) {
    const lab = await labWarden(t);
    const warden = await lab.start();
    const client = lab.client();
    await client.call("time.nonce", {});
    const recording = client.call("birth.record", BORN).then(
      () => true,
      () => false,
    );
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    await warden.stop("SIGKILL");
    const wasAnswered = await recording;
    await lab.start();
    const { birth } = await client.call("identity.read", {});
    if (wasAnswered) t.match(birth, BORN);
    t.match(await client.call("birth.record", BORN), BORN, "the same birth can be recorded once more");
  }
});
