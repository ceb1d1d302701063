// Installation from a store of chunks into a slot.
import { readFile } from "node:fs/promises";
import { zstdCompressSync } from "node:zlib";
import { test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import type { SlotWriter } from "../../../hal/ports.ts";
import { installPart, type InstallProgress, readBack, writeChunks } from "../../../ota/install/index.ts";
import { RANGE_BYTES } from "../../../ota/install/limits.ts";
import { type ChunkRef } from "../../../ota/index/format/index.ts";
import { chunkedImage, twoSlots } from "../../lab/worlds/chunked.ts";
import { imageOf } from "../../lab/worlds/images.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

/** The real writer, which records its calls. */
function watched(slot: SlotWriter): SlotWriter & { readonly writes: (readonly [number, number])[]; syncs: number } {
  const writes: (readonly [number, number])[] = [];
  const calls = { writes, syncs: 0 };
  return Object.assign(calls, {
    write: async (offset: number, bytes: Uint8Array) => {
      calls.writes.push([offset, bytes.byteLength]);
      await slot.write(offset, bytes);
    },
    read: (offset: number, into: Uint8Array) => slot.read(offset, into),
    sync: async () => {
      calls.syncs += 1;
      await slot.sync();
    },
    close: () => slot.close(),
  });
}

function covers([offset, length]: readonly [number, number], chunk: ChunkRef): boolean {
  return offset < chunk.offset + chunk.length && chunk.offset < offset + length;
}

test("[OTA-33] a whole image is written, synced and read back; the slot's earlier content is gone", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source, image } = await chunkedImage(directory, imageOf(2_000_003));
  const { slots, b } = await twoSlots(directory);
  const slot = watched(await slots.open("b", "root", index.imageBytes));
  const progress: InstallProgress[] = [];
  const advanced: number[] = [];
  const journal = { inPlace: async () => 0, advance: async (count: number) => void advanced.push(count) };
  await installPart({ index, source, slot, journal, onProgress: (step) => progress.push(step) });
  await slot.close();
  t.ok(image.equals(await readFile(b)));
  t.equal(advanced.at(-1), index.count);
  t.equal(slot.syncs, advanced.length, "the slot is synced each time before the journal advances");
  const last = { chunks: index.count, bytes: image.byteLength, imageBytes: image.byteLength };
  t.same(progress.at(-1), { phase: "reading-back", ...last });
  t.same(progress.filter(({ phase }) => phase === "writing").at(-1), { phase: "writing", ...last });
});

test("[OTA-31] a tampered chunk is refused before a byte of it reaches the slot, and nothing is written after it", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source } = await chunkedImage(directory, imageOf(1_000_000));
  const { slots } = await twoSlots(directory);
  const victim = index.at(Math.floor(index.count / 2));
  const tamper = async (ref: ChunkRef): Promise<Uint8Array> =>
    ref.offset === victim.offset ? zstdCompressSync(Buffer.alloc(ref.length, "evil")) : source(ref);
  const slot = watched(await slots.open("b", "root", index.imageBytes));
  const before = new Uint8Array(victim.length);
  await slot.read(victim.offset, before);
  await t.rejects(installPart({ index, source: tamper, slot }), { code: "chunk.tampered" });
  t.notOk(slot.writes.some((write) => covers(write, victim)));
  const after = new Uint8Array(victim.length);
  await slot.read(victim.offset, after);
  t.same(after, before);
  const count = slot.writes.length;
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(slot.writes.length, count, "no work is in progress any more");
  await slot.close();
});

test("[OTA-31] every chunk is checked, including the first and the last", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source } = await chunkedImage(directory, imageOf(200_000));
  const { slots } = await twoSlots(directory);
  for (let n = 0; n < index.count; n++) {
    const slot = watched(await slots.open("b", "root", index.imageBytes));
    const victim = index.at(n);
    const tamper = async (ref: ChunkRef): Promise<Uint8Array> => {
      const encoded = Buffer.from(await source(ref));
      if (ref.offset === victim.offset)
        encoded.writeUInt8(encoded.readUInt8(encoded.byteLength >> 1) ^ 0x10, encoded.byteLength >> 1);
      return encoded;
    };
    await t.rejects(installPart({ index, source: tamper, slot }), { code: "chunk.tampered" });
    t.notOk(
      slot.writes.some((write) => covers(write, victim)),
      `chunk ${n}`,
    );
    await slot.close();
  }
});

test("[OTA-33] a slot that does not return what was written is refused", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source } = await chunkedImage(directory, imageOf(300_000));
  const { slots } = await twoSlots(directory);
  const slot = await slots.open("b", "root", index.imageBytes);
  const lossy: SlotWriter = {
    ...slot,
    write: async (offset, bytes) => slot.write(offset, offset === 0 ? Buffer.alloc(bytes.byteLength) : bytes),
  };
  await t.rejects(installPart({ index, source, slot: lossy }), { code: "slot.mismatch", message: /chunk at 0/ });
  await writeChunks({ index, source, slot }, 0, index.count);
  await t.resolves(readBack({ index, slot }));
  await slot.close();
});

test("[OTA-33] an installation that is cancelled says so, and writes nothing more", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source } = await chunkedImage(directory, imageOf(1_500_000));
  const { slots } = await twoSlots(directory);
  const slot = watched(await slots.open("b", "root", index.imageBytes));
  const stop = new AbortController();
  const onProgress = ({ chunks }: InstallProgress): void => {
    if (chunks >= 20) stop.abort();
  };
  await t.rejects(installPart({ index, source, slot, signal: stop.signal, onProgress }), { code: "update.aborted" });
  const written = slot.writes.reduce((sum, [, length]) => sum + length, 0);
  t.ok(written < index.imageBytes, `${written} bytes written`);
  await slot.close();
});

test("[OTA-33] a source that fails ends the installation with its own fault", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index } = await chunkedImage(directory, imageOf(100_000));
  const { slots } = await twoSlots(directory);
  const slot = await slots.open("b", "root", index.imageBytes);
  const source = async (): Promise<Uint8Array> => {
    throw new Fault("chunk.missing", "not there");
  };
  await t.rejects(installPart({ index, source, slot }), { code: "chunk.missing" });
  await slot.close();
});

test("with chunks in place according to the journal, only the rest is written, and everything is read back", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source, image } = await chunkedImage(directory, imageOf(800_000));
  const { slots, b } = await twoSlots(directory);
  const first = await slots.open("b", "root", index.imageBytes);
  const half = Math.floor(index.count / 2);
  await writeChunks({ index, source, slot: first }, 0, half);
  await first.close();
  const slot = watched(await slots.open("b", "root", index.imageBytes));
  await installPart({ index, source, slot, journal: { inPlace: async () => half, advance: async () => undefined } });
  await slot.close();
  const written = slot.writes.reduce((sum, [, length]) => sum + length, 0);
  t.equal(written, index.imageBytes - index.at(half).offset);
  t.ok(slot.writes.every(([offset]) => offset >= index.at(half).offset));
  t.ok(image.equals(await readFile(b)));
  const rotten = await slots.open("b", "root", index.imageBytes);
  await rotten.write(0, Buffer.from("rot"));
  const journal = { inPlace: async () => half, advance: async () => undefined };
  await t.rejects(installPart({ index, source, slot: rotten, journal }), { code: "slot.mismatch", message: /chunk at 0/ });
  await rotten.close();
});

test("few bytes are in memory at once, however slow the slot is", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source } = await chunkedImage(directory, imageOf(2_000_000));
  const { slots } = await twoSlots(directory);
  const slot = await slots.open("b", "root", index.imageBytes);
  let inFlight = 0;
  let most = 0;
  const counting = async (ref: ChunkRef): Promise<Uint8Array> => {
    inFlight += ref.length;
    most = Math.max(most, inFlight);
    return source(ref);
  };
  const slow: SlotWriter = {
    ...slot,
    write: async (offset, bytes) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      inFlight -= bytes.byteLength;
      await slot.write(offset, bytes);
    },
  };
  await installPart({ index, source: counting, slot: slow });
  await slot.close();
  t.ok(most <= 2 * RANGE_BYTES, `${most} bytes at once`);
});
