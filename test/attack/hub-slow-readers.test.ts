// Readers that ask for a large file and never read it. They hold no more than their share of the
// streams, they are cut off when they take nothing, and other addresses are served all the time.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { eventually } from "../lab/runner/process.ts";
import { ask, connect, enrolled, labDevice, labHub, labMessage, simpleEnrol } from "../lab/worlds/hub.ts";
import { answered, slowReaders } from "../lab/worlds/hub-crowd.ts";

const READERS = 270;

test("[TUN-23] 270 readers that never read: another address gets every file, and in the end they are cut off", async (t) => {
  const { hub, state } = await labHub(t, { progressMs: 20_000 });
  const directory = join(state, "repository");
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "large"), Buffer.alloc(16_000_000));
  await writeFile(join(directory, "small"), "small");
  const device = await labDevice("gw-1");
  const { client } = await connect(t, hub, device, await enrolled(hub, device));
  await slowReaders(t, hub, "/repository/large", "127.0.0.66", READERS);
  t.notOk(await answered(ask(hub, "/repository/small", { from: "127.0.0.66" }), 200), "their own address has used its share");
  let count = 0;
  for (let n = 0; n < 50; n++) if (await answered(ask(hub, "/repository/small"), 200)) count += 1;
  t.equal(count, 50);
  t.equal((await simpleEnrol(hub, (await labDevice("gw-2")).csr)).status, 202);
  await client.publishAsync("sallyport/1/gw-1/up/event", labMessage({ kind: "test" }), { qos: 1 });
  await eventually("their places to be free again, although they still do not read", async () =>
    (await answered(ask(hub, "/repository/small", { from: "127.0.0.66" }), 200)) ? true : undefined,
  );
});
