// Verification of ranges on the calling thread and on others: the results are the same.
import { randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { test } from "tap";
import { startThreads } from "../../../hal/linux/threads/index.ts";
import { type RangeVerifier, verifyRangesHere, verifyRangesOn } from "../../../ota/index/index.ts";
import { chunkId, type ChunkRef } from "../../../ota/index/format/index.ts";

const FILE = new URL("../../lab/runner/chunk-range-child.ts", import.meta.url).href;
const contents = [randomBytes(5000), Buffer.alloc(20_000, "text "), Buffer.from("x"), randomBytes(70_000)];
const whole = Buffer.concat(contents);
const chunks = contents.map((content, n): ChunkRef => {
  const offset = contents.slice(0, n).reduce((sum, { byteLength }) => sum + byteLength, 0);
  return { id: chunkId(content), offset, length: content.byteLength };
});

/** Made anew for each call, because the memory is given away. */
function packed(change: Readonly<Record<number, Uint8Array>> = {}): Uint8Array[] {
  return contents.map((content, n) => change[n] ?? zstdCompressSync(content));
}

const threads = startThreads({ file: FILE, countMax: 1, heapMbMax: 128 });
const kinds: readonly (readonly [string, RangeVerifier])[] = [
  ["here", verifyRangesHere()],
  ["on a thread", verifyRangesOn(threads)],
];

for (const [where, verifier] of kinds) {
  test(`[OTA-31] a range is unpacked ${where}, many at once too`, async (t) => {
    const all = await Promise.all(Array.from({ length: 9 }, () => verifier.unpack(packed(), chunks)));
    t.ok(all.every((bytes) => whole.equals(bytes)));
    const tiny = chunks.slice(2, 3);
    t.same(Buffer.from(await verifier.unpack([zstdCompressSync(Buffer.from("x"))], tiny)), Buffer.from("x"));
  });

  test(`[OTA-31] a bad chunk within a range is found and named ${where}, and the next range is unaffected`, async (t) => {
    const other = Buffer.from(whole.subarray(5000, 25_000));
    other.writeUInt8(1, 9);
    const cases: readonly (readonly [string, number, Uint8Array])[] = [
      ["other content", 1, zstdCompressSync(other)],
      ["cut off", 3, zstdCompressSync(contents[3] ?? "").subarray(0, -3)],
      ["nothing", 0, new Uint8Array()],
      ["no zstd", 2, Buffer.from("x")],
      ["a bomb", 2, zstdCompressSync(Buffer.alloc(50_000_000))],
    ];
    for (const [name, n, bad] of cases) {
      const message = new RegExp(`verify chunk ${chunks[n]?.id}`, "u");
      await t.rejects(verifier.unpack(packed({ [n]: bad }), chunks), { code: "chunk.tampered", message }, name);
      t.ok(whole.equals(await verifier.unpack(packed(), chunks)));
    }
  });

  test(`[OTA-31] bytes are proven by their ids in any framing, and frames in another order are refused ${where}`, async (t) => {
    const [first, second] = [whole.subarray(0, 4000), whole.subarray(4000, 25_000)].map((part) => zstdCompressSync(part));
    const moved = packed({ 0: first ?? Buffer.of(), 1: second ?? Buffer.of() });
    // moving a frame boundary does not change the unpacked bytes
    const bytes = await verifier.unpack(moved, chunks);
    t.ok(whole.equals(bytes));
    await t.rejects(verifier.unpack(packed().reverse(), chunks), { code: "chunk.tampered" });
  });

  test(`[OTA-33] read-back bytes are checked ${where}, and their memory comes back`, async (t) => {
    const right = await verifier.check(Uint8Array.from([...whole, 7, 7]), chunks);
    t.match(right, { wrong: undefined });
    t.equal(right.memory.byteLength, whole.byteLength + 2);
    right.memory[25_000] = 0;
    t.equal((await verifier.check(right.memory, chunks)).wrong, 2);
  });
}

test("when a thread ends, its pending job and later ones fail", async (t) => {
  const mortal = startThreads({ file: FILE, countMax: 1, heapMbMax: 128 });
  const verifier = verifyRangesOn(mortal);
  const [fatal] = chunks.slice(0, 1).map((ref) => ({ ...ref, id: "die" }));
  t.ok(fatal);
  if (fatal === undefined) return;
  const outcomes = await Promise.allSettled([verifier.unpack(packed().slice(0, 1), [fatal]), verifier.unpack(packed(), chunks)]);
  for (const outcome of outcomes) t.match(outcome, { status: "rejected", reason: { code: "process.failed" } });
  await t.rejects(verifier.unpack(packed(), chunks), { code: "process.failed" });
  await mortal.close();
});

test("threads end when they are closed", async (t) => {
  await threads.close();
  await t.rejects(threads.run({ task: "check", memory: new Uint8Array(1), texts: [], numbers: [] }), { code: "process.failed" });
});
