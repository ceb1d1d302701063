// A slow line that all connections share, and one that breaks: an image arrives, and no byte that
// arrived is asked for again.
import { spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "tap";
import { linuxHandoverWriter } from "../../../hal/linux/index.ts";
import { PROGRESS_BYTES_MIN } from "../../../ota/fetch/attempts.ts";
import { fetchChunks, FetchPace, type ChunksToFetch, type Repository } from "../../../ota/fetch/index.ts";
import { IN_FLIGHT_MAX } from "../../../ota/fetch/pace.ts";
import { CHUNK_FILE_BYTES_MAX } from "../../../ota/index/format/index.ts";
import { startBoardNetwork } from "../../lab/counterparts/netns.ts";
import { makePki } from "../../lab/counterparts/pki.ts";
import { startSlowLine } from "../../lab/counterparts/slow-line.ts";
import { clientOf } from "../../lab/counterparts/static-repository.ts";
import { isLongRun } from "../../lab/runner/long-run.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually, startProgram } from "../../lab/runner/process.ts";
import { realClock } from "../../lab/worlds/tunnel.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { countingRepository, slowImage, type SlowImage } from "../../lab/worlds/slow-image.ts";

/** Bytes of chunks as a real image of this size had them. */
const CHUNK_BYTES = [193_630, 38_660, 262_144, 30_182, 37_593, 116_000, 160_000, 196_229];
const TENTH = CHUNK_BYTES.map((bytes) => Math.floor(bytes / 10));
const skip = needs("openssl");

async function jobOf(directory: string, { index }: SlowImage, repository: Repository): Promise<ChunksToFetch> {
  const drop = await linuxHandoverWriter(join(directory, "drop"));
  const window = { from: 0, to: index.count };
  return { index, window, repository, store: "store", drop, clock: realClock, random: () => 0, pace: new FetchPace() };
}

test(
  "[OTA-75] answers that wait behind others on one slow line are not given up while the line brings bytes",
  { skip },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    const image = await slowImage(directory, TENTH);
    const served = await countingRepository(t, { directory, server: pki.server });
    const line = await startSlowLine(t, served.port, 40_000);
    // each answer takes longer than the line may be silent, and all of them together much longer
    const client = clientOf(t, pki, line.port, { idleMs: 1000, windowMs: 1000, windowBytesMin: 2000 });
    await fetchChunks(await jobOf(directory, image, client));
    t.equal((await readdir(join(directory, "drop"))).length, TENTH.length);
    t.equal(served.asked.length, TENTH.length, "each chunk once");
    t.ok(line.bytes() < 1.3 * image.bytes + 20_000, `${line.bytes()} bytes for ${image.bytes}`);
  },
);

test(
  "[OTA-75] an image crosses a real line at 30 kbit/s, shared by all connections",
  { skip: needs("openssl", "netns", "root") || (isLongRun() ? false : "takes five minutes: in the long run") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    const network = startBoardNetwork("02:00:00:00:00:31");
    t.teardown(() => network.stop());
    const image = await slowImage(directory, CHUNK_BYTES);
    const served = await countingRepository(t, { directory, server: pki.server, address: network.hubAddress });
    const shape = ["qdisc", "add", "dev", deviceOf(network.hubAddress), "root", "tbf", "rate", "30kbit"];
    const { status, stderr } = spawnSync("tc", [...shape, "burst", "3000", "limit", "200000"], { encoding: "utf8" });
    t.equal(status, 0, stderr);
    const child = fileURLToPath(new URL("../../lab/counterparts/slow-line-child.ts", import.meta.url));
    const [command, ...prefix] = network.prefix;
    const device = startProgram({
      name: "device",
      command,
      args: [...prefix, process.execPath, child, directory, pki.authority.certFile, network.hubAddress, String(served.port)],
      endsWithUs: true,
    });
    t.teardown(() => device.stop());
    await device.line(/^arrived$/u, (4 * 1000 * image.bytes) / 3750);
    t.equal(served.asked.length, CHUNK_BYTES.length, "each chunk once");
  },
);

/** The interface with this address. */
function deviceOf(address: string): string {
  const { stdout } = spawnSync("ip", ["-o", "address", "show", "to", address], { encoding: "utf8" });
  return /^\d+: (\S+)/u.exec(stdout)?.[1] ?? "";
}

test(
  "[OTA-76] a chunk goes on where the connection broke, and what has arrived whole is not asked for again",
  { skip },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    const image = await slowImage(directory, [100_000, 20_000]);
    const served = await countingRepository(t, { directory, server: pki.server });
    const line = await startSlowLine(t, served.port, 80_000);
    const fetching = fetchChunks(await jobOf(directory, image, clientOf(t, pki, line.port)));
    await eventually("a part has arrived", async () => line.bytes() > 70_000 || undefined, undefined, 5);
    line.cut();
    await fetching;
    t.ok(
      served.asked.some(({ range }) => Number(/^bytes=(\d+)-$/u.exec(range ?? "")?.[1]) >= PROGRESS_BYTES_MIN),
      JSON.stringify(served.asked),
    );
    const before = served.asked.length;
    await fetchChunks(await jobOf(directory, image, clientOf(t, pki, line.port)));
    t.equal(served.asked.length, before, "all of it is there");
  },
);

test("[OTA-76] where the server cannot resume, or the file has changed, only that chunk begins anew", { skip }, async (t) => {
  const directory = await temporaryDirectory(t);
  const pki = makePki(directory);
  const image = await slowImage(directory, [20_000, 20_000]);
  for (const second of [
    (file: Buffer) => ({ status: 200, headers: {}, body: file }),
    (file: Buffer) => ({ status: 206, headers: { "content-range": "bytes 0-9/20000" }, body: file.subarray(0, 10) }),
    () => ({ status: 416, headers: {}, body: Buffer.alloc(0) }),
    (file: Buffer) => ({
      status: 206,
      headers: { "content-range": `bytes 10000-${file.length - 1}/${file.length}` },
      body: Buffer.alloc(file.length - 10_000),
    }),
  ]) {
    const seen = new Map<string, number>();
    const served = await countingRepository(t, {
      directory,
      server: pki.server,
      instead: ({ url = "" }, response, file) => {
        const times = (seen.get(url) ?? 0) + 1;
        seen.set(url, times);
        if (times === 1 && seen.size === 1) {
          response.writeHead(200, { "content-length": file.length });
          response.write(file.subarray(0, 10_000), () => setTimeout(() => response.destroy(), 50));
          return true;
        }
        if (times !== 2) return false;
        const { status, headers, body } = second(file);
        response.writeHead(status, { ...headers, "content-length": body.length }).end(body);
        return true;
      },
    });
    const work = await jobOf(directory, image, clientOf(t, pki, served.port));
    await work.drop.clear();
    await fetchChunks(work);
    t.equal(served.asked[0]?.range, undefined);
    t.match(
      served.asked.find(({ range }) => range !== undefined),
      { range: "bytes=10000-" },
    );
    t.equal((await readdir(join(directory, "drop"))).length, 2);
  }
});

test(
  "[OTA-75] a server that drips is given up at the end of a window, and so is one that sends heads only",
  { skip },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const pki = makePki(directory);
    const image = await slowImage(directory, [20_000]);
    const drips: NodeJS.Timeout[] = [];
    t.teardown(() => drips.forEach(clearInterval));
    const served = await countingRepository(t, {
      directory,
      server: pki.server,
      instead: (_request, response, file) => {
        response.writeHead(200, { "content-length": file.length });
        response.flushHeaders();
        drips.push(setInterval(() => response.write("x"), 20));
        return true;
      },
    });
    const client = clientOf(t, pki, served.port, { idleMs: 60_000, windowMs: 300, windowBytesMin: 1000 });
    const { store } = { store: `store/${image.index.at(0).id.slice(0, 4)}/${image.index.at(0).id}.cacnk` };
    await t.rejects(client.get(store, CHUNK_FILE_BYTES_MAX), {
      code: "fetch.timeout",
      message: /only \d+ bytes came in 0\.3 s/u,
    });
  },
);

test("[OTA-75] the number of requests and the size of a range follow the line", async (t) => {
  const pace = new FetchPace();
  t.equal(pace.inFlightMax, 2, "a slow line must not begin with six handshakes");
  t.equal(pace.rangeBytesMax, CHUNK_FILE_BYTES_MAX);
  for (let n = 0; n < 10; n += 1) pace.fetched(100);
  t.equal(pace.inFlightMax, IN_FLIGHT_MAX);
  pace.fetched(40_000);
  t.equal(pace.inFlightMax, 3);
  pace.broke();
  pace.broke();
  t.equal(pace.inFlightMax, 1, "never none");
  pace.ranged(16_777_216, 4_000);
  t.equal(pace.rangeBytesMax, 16_777_216);
  pace.ranged(0, 4_000);
  t.equal(pace.rangeBytesMax, 16_777_216, "a range that was there says nothing about the line");
  pace.ranged(225_000, 60_000);
  t.equal(pace.rangeBytesMax, CHUNK_FILE_BYTES_MAX, "a minute of a slow line, but at least one chunk");
});
