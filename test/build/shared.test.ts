// The device's programs as they are bundled: they share files, and each loads only its own.
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "tap";
import { bundleDevice, bundleFile, DEVICE_FOLDERS, PROGRAMS } from "../../build/bundle.ts";
import { filesLoaded } from "../lab/runner/files-loaded.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const DEVICE = PROGRAMS.flatMap(({ onDevice, ...program }) => (onDevice === undefined ? [] : [{ ...program, short: onDevice }]));

/** A file that is shared is there as a whole for each of its programs: this much more at most. */
const MORE_MAX = 32_768;

async function textOf(files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map((file) => readFile(file, "utf8")))).join("");
}

test("each of the device's programs loads its own file and the shared ones that bear its name", async (t) => {
  const directory = await temporaryDirectory(t);
  const sizes = await bundleDevice(directory);
  const shared = Object.keys(sizes).filter((file) => file.startsWith("shared/"));
  t.ok(shared.length > 4, "control: there are shared files");
  for (const { name, short, entry } of DEVICE) {
    const loaded = await filesLoaded(join(directory, name, "main.js"));
    const own = shared.filter((file) => basename(file, ".js").split("-").includes(short));
    t.same(
      loaded.toSorted(),
      [`${name}/main.js`, ...own].map((file) => join(directory, file)).toSorted(),
      `${name}: ${own.join(" ")}`,
    );
    await bundleFile(entry, join(directory, "alone.js"));
    const alone = (await readFile(join(directory, "alone.js"))).byteLength;
    const bytes = Buffer.byteLength(await textOf(loaded));
    t.ok(bytes <= alone + MORE_MAX, `${name} loads ${bytes} bytes; as one file it has ${alone}`);
  }
  t.match(
    await textOf(await filesLoaded(join(directory, "sallyport-agent/main.js"))),
    "keepalive",
    "control: the agent has MQTT",
  );
  t.notMatch(await textOf(await filesLoaded(join(directory, "sallyport-warden/main.js"))), "keepalive", "the warden has none");
});

test("the same sources give the same files, wherever they are built", async (t) => {
  const [one, other] = [await temporaryDirectory(t), join(await temporaryDirectory(t), "deeper/and/deeper")];
  t.same(await bundleDevice(one), await bundleDevice(other));
  for (const folder of DEVICE_FOLDERS) {
    const files = await readdir(join(one, folder));
    t.same(files, await readdir(join(other, folder)));
    for (const file of files)
      t.ok((await readFile(join(one, folder, file))).equals(await readFile(join(other, folder, file))), file);
  }
});
