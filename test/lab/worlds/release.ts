// A signing workshop beside the lab's hub: keys, signed targets, images cut into chunks. What `sallyport-release` does, in one process.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Added, addTarget, type TargetDescription } from "../../../build/release/add.ts";
import { addImage } from "../../../build/release/image.ts";
import { initialise } from "../../../build/release/init.ts";
import { signChanges } from "../../../build/release/sign.ts";
import { HARDWARE } from "./board.ts";
import { type SystemImage, systemKernel, systemRoot } from "./system-image.ts";

export interface ReleaseDesk {
  /** Of `sallyport-release`: what `sallyport-hub release publish` takes. */
  readonly directory: string;
  /** Root version 1, as the image carries it. */
  readonly root: string;
  /** Any payload as a target. Without an audience in `said` it is for everyone with the lab's hardware. */
  target(name: string, payload: Uint8Array | object, said?: Partial<TargetDescription>): Promise<Added>;
  /** `os/gateway-VERSION.json` and all that its manifest names. */
  image(image: SystemImage): Promise<Added>;
  /** Signs what was added since. */
  sign(): Promise<void>;
}

/** Whoever has the lab's hardware. */
export const FOR_ALL = { hardware: { ids: [HARDWARE] }, audience: { everyone: true } } as const;

/** @param directory made here. */
export async function openReleaseDesk(directory: string): Promise<ReleaseDesk> {
  const { root } = await initialise(directory, Date.now());
  const work = join(directory, "work");
  await mkdir(work, { recursive: true });
  const desk: ReleaseDesk = {
    directory,
    root,
    async target(name, payload, said = {}) {
      const file = join(work, name.replaceAll("/", "-"));
      await writeFile(file, payload instanceof Uint8Array ? payload : JSON.stringify(payload));
      const [role = ""] = name.split("/");
      return await addTarget(directory, name, file, {
        line: role,
        ...FOR_ALL,
        ...said,
      });
    },
    async image(image) {
      const { version, counter } = image;
      const files = new Map([
        ["root", join(work, `${version}.root`)],
        ["kernel", join(work, `${version}.kernel`)],
      ] as const);
      await writeFile(join(work, `${version}.root`), systemRoot(image));
      await writeFile(join(work, `${version}.kernel`), systemKernel(image));
      return await addImage(directory, `os/gateway-${version}.json`, files, { line: "os", counter, ...FOR_ALL });
    },
    sign: async () => void (await signChanges(directory, [], Date.now())),
  };
  return desk;
}
