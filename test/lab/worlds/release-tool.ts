// The release tool in this process: it makes keys, signs targets and cuts images into chunks, as
// `sallyport-release` does.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Added, addTarget, type TargetDescription } from "../../../build/release/add.ts";
import { addImage } from "../../../build/release/image.ts";
import { initialise } from "../../../build/release/init.ts";
import { signChanges } from "../../../build/release/sign.ts";
import { HARDWARE } from "./board.ts";
import { type SystemImage, systemKernel, systemRoot } from "./system-image.ts";

export interface ReleaseTool {
  /** The directory of `sallyport-release`, which `sallyport-hub release publish` takes. */
  readonly directory: string;
  /** Root version 1, as the image carries it. */
  readonly root: string;
  /**
   * Adds a payload as a target. Unless `said` names an audience, it is for every device with the
   * lab's hardware.
   */
  target(name: string, payload: Uint8Array | object, said?: Partial<TargetDescription>): Promise<Added>;
  /** Adds `os/gateway-VERSION.json` and everything that its manifest names. */
  image(image: SystemImage): Promise<Added>;
  /** Signs the targets that were added. */
  sign(): Promise<void>;
}

/** For every device with the lab's hardware. */
export const FOR_ALL = { hardware: { ids: [HARDWARE] }, audience: { everyone: true } } as const;

/** @param directory is made here. */
export async function openReleaseTool(directory: string): Promise<ReleaseTool> {
  const { root } = await initialise(directory, Date.now());
  const work = join(directory, "work");
  await mkdir(work, { recursive: true });
  const tool: ReleaseTool = {
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
  return tool;
}
