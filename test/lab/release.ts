// A signing workshop beside the lab's hub: keys, signed targets, images cut into chunks. What `sallyport-release` does, in one process.
import { createHash } from "node:crypto";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chunkImage } from "../../build/release/chunks.ts";
import { type Added, addTarget, type Said } from "../../build/release/add.ts";
import { initialise } from "../../build/release/init.ts";
import { signChanges } from "../../build/release/sign.ts";
import type { SlotPart } from "../../hal/slots/format.ts";
import type { OsManifest } from "../../ota/install/format.ts";
import { HARDWARE } from "./board.ts";
import { type SystemImage, systemKernel, systemRoot } from "./system-image.ts";

export interface ReleaseDesk {
  /** Of `sallyport-release`: what `sallyport-hub release publish` takes. */
  readonly directory: string;
  /** Root version 1, as the image carries it. */
  readonly root: string;
  /** Any payload as a target. Without an audience in `said` it is for everyone with the lab's hardware. */
  target(name: string, payload: Uint8Array | object, said?: Partial<Said>): Promise<Added>;
  /** `os/gateway-VERSION.json` and all that its manifest names. */
  image(image: SystemImage): Promise<Added>;
  /** Signs what was added since. */
  sign(): Promise<void>;
}

const STORE = "chunks";
const INDEXES = "indexes";

/** @param directory made here. */
export async function openReleaseDesk(directory: string): Promise<ReleaseDesk> {
  const { root } = await initialise(directory, Date.now());
  const repository = join(directory, "repository");
  const work = join(directory, "work");
  for (const place of [work, join(repository, STORE), join(repository, INDEXES)]) await mkdir(place, { recursive: true });

  const part = async (kind: SlotPart, version: string, bytes: Uint8Array): Promise<OsManifest["parts"][number]> => {
    const image = join(work, `${version}.${kind}`);
    const path = `${INDEXES}/${version}.${kind}.caibx`;
    const index = join(repository, path);
    await writeFile(image, bytes);
    await chunkImage({ image, index, store: join(repository, STORE) });
    const sha256 = createHash("sha256")
      .update(await readFile(index))
      .digest("hex");
    return { part: kind, bytes: bytes.byteLength, index: { path, bytes: (await stat(index)).size, sha256 } };
  };
  const desk: ReleaseDesk = {
    directory,
    root,
    async target(name, payload, said = {}) {
      const file = join(work, name.replaceAll("/", "-"));
      await writeFile(file, payload instanceof Uint8Array ? payload : JSON.stringify(payload));
      const [role = ""] = name.split("/");
      return await addTarget(directory, name, file, {
        line: role,
        hardware: { ids: [HARDWARE] },
        audience: { everyone: true },
        ...said,
      });
    },
    async image(image) {
      const { version, counter } = image;
      const parts = [await part("root", version, systemRoot(image)), await part("kernel", version, systemKernel(image))];
      return await desk.target(`os/gateway-${version}.json`, { v: 1, store: STORE, parts } satisfies OsManifest, { counter });
    },
    sign: async () => void (await signChanges(directory, [], Date.now())),
  };
  return desk;
}
