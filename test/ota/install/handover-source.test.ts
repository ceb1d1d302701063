// Installation from files that another process left.
import { readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { linuxHandoverReader, linuxHandoverWriter } from "../../../hal/linux/index.ts";
import { chunkFileName } from "../../../ota/index/format/index.ts";
import { createHandoverSource, installPart } from "../../../ota/install/index.ts";
import { chunkedImage, twoSlots } from "../../lab/worlds/chunked.ts";
import { imageOf } from "../../lab/worlds/images.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

test("[OTA-32] an image passes whole through a hand-over directory; a chunk that is missing, a link or another one stops it", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source, image } = await chunkedImage(directory, imageOf(400_000));
  const { slots, b } = await twoSlots(directory);
  const place = join(directory, "drop");
  const drop = await linuxHandoverWriter(place);
  for (let n = 0; n < index.count; n++) await drop.put(chunkFileName(index.at(n).id), await source(index.at(n)));
  await using handover = await linuxHandoverReader(place);
  const install = async (): Promise<void> => {
    const slot = await slots.open("b", "root", index.imageBytes);
    try {
      await installPart({ index, source: createHandoverSource(handover), slot });
    } finally {
      await slot.close();
    }
  };
  await install();
  t.ok(image.equals(await readFile(b)));

  const victim = join(place, chunkFileName(index.at(3).id));
  await writeFile(victim, await source(index.at(4)));
  await t.rejects(install(), { code: "chunk.tampered" });
  await rm(victim);
  await t.rejects(install(), { code: "chunk.missing" });
  await writeFile(join(directory, "right"), await source(index.at(3)));
  await symlink(join(directory, "right"), victim);
  await t.rejects(install(), { code: "file.not-regular" }, "even a link to the right content");
});
