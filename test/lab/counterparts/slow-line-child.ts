// A device at the end of a slow line: fetches an image as the agent does, in a network namespace of
// its own. slow-line.test.ts starts it.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext } from "node:tls";
import { linuxHandoverWriter } from "../../../hal/linux/index.ts";
import { fetchChunks, FetchPace } from "../../../ota/fetch/index.ts";
import { createHttpRepository } from "../../../ota/http/index.ts";
import { readIndex } from "../../../ota/index/format/index.ts";

const [directory = "", authority = "", host = "", port = ""] = process.argv.slice(2);

const repository = createHttpRepository({
  host: "localhost",
  port: Number(port),
  connectTo: { host, port: Number(port) },
  context: createSecureContext({ ca: await readFile(authority, "utf8") }),
  prefix: "/repository",
});
const index = readIndex(await readFile(join(directory, "image.caibx")));
await fetchChunks({
  index,
  window: { from: 0, to: index.count },
  repository,
  store: "store",
  drop: await linuxHandoverWriter(join(directory, "drop")),
  clock: { sleep: (delayMs) => sleep(delayMs) },
  random: Math.random,
  pace: new FetchPace(),
});
repository.close();
process.stdout.write("arrived\n");
