// Installing from files that another process left.
import { readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { linuxCourier, linuxCourierDrop } from "../../../hal/linux/index.ts";
import { chunkFileName } from "../../../ota/index/format/index.ts";
import { courierSource, installPart } from "../../../ota/install/index.ts";
import { chunkedImage, twoSlots } from "../../lab/chunked.ts";
import { imageOf } from "../../lab/images.ts";
import { temporaryDirectory } from "../../lab/temporary.ts";

test("[OTA-32] an image comes whole through a courier's directory; a chunk that is missing, a link or another one stops it", async (t) => {
  const directory = await temporaryDirectory(t);
  const { index, source, image } = await chunkedImage(directory, imageOf(400_000));
  const { slots, b } = await twoSlots(directory);
  const place = join(directory, "drop");
  const drop = await linuxCourierDrop(place);
  for (let n = 0; n < index.count; n++) await drop.put(chunkFileName(index.at(n).id), await source(index.at(n)));
  await using courier = await linuxCourier(place);
  const install = async (): Promise<void> => {
    const slot = await slots.open("b", "root", index.imageBytes);
    try {
      await installPart({ index, source: courierSource(courier), slot });
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
