// systemd-boot for a simulated board, after its source (boot.c: boot_entry_compare,
// config_select_default_entry, boot_entry_bump_counters), for images without a sort key and version
// of their own. It was written apart from hal/linux/slots/entries.ts, so that one does not repeat
// the other's mistakes.
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../../hal/fault.ts";
import { boot } from "../worlds/board.ts";

const numbersAsNumbers = new Intl.Collator("en", { numeric: true });

interface Entry {
  readonly file: string;
  readonly id: string;
  readonly left: number | undefined;
  readonly done: number;
}

/**
 * Powers the board on.
 * @param root the EFI system partition is its `boot`.
 * @returns the slot that the booted kernel image names.
 */
export async function powerOnSystemdBoot(root: string): Promise<string> {
  const directory = join(root, "boot/EFI/Linux");
  const entries: Entry[] = [];
  for (const file of await readdir(directory)) {
    const [, stem, left, done] = /^(.*?)(?:\+(\d+)(?:-(\d+))?)?\.efi$/u.exec(file) ?? [];
    // Otherwise no PE header is found, and the entry is left out.
    const isImage = (await stat(join(directory, file))).size > 0;
    if (stem !== undefined && isImage)
      entries.push({ file, id: stem, left: left === undefined ? undefined : Number(left), done: Number(done ?? 0) });
  }
  entries.sort(
    (a, b) =>
      Number(a.left === 0) - Number(b.left === 0) ||
      numbersAsNumbers.compare(b.id, a.id) ||
      (a.left === undefined || b.left === undefined ? 0 : b.left - a.left || a.done - b.done),
  );
  const [first] = entries;
  if (first === undefined) throw new Fault("assert.broken", "the boot loader found nothing to boot");
  const image = await readFile(join(directory, first.file), "utf8");
  if (first.left !== undefined) {
    const bumped = `${first.id}+${Math.max(0, first.left - 1)}-${first.done + 1}.efi`;
    await rename(join(directory, first.file), join(directory, bumped));
  }
  await boot(root);
  await mkdir(join(root, "proc"), { recursive: true });
  await writeFile(join(root, "proc/cmdline"), `console=ttyS0 ${image}\n`);
  const slot = /^sallyport\.slot=([ab])$/u.exec(image)?.[1];
  if (slot === undefined) throw new Fault("assert.broken", `the kernel image "${first.file}" holds ${JSON.stringify(image)}`);
  return slot;
}

/** An EFI system partition with these kernel images: name to slot. */
export async function makeEsp(root: string, images: Readonly<Record<string, "a" | "b">>): Promise<string> {
  const directory = join(root, "boot/EFI/Linux");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const [name, slot] of Object.entries(images)) await putKernel(root, name, slot);
  return join(root, "boot");
}

export async function putKernel(root: string, name: string, slot: "a" | "b"): Promise<void> {
  await writeFile(join(root, "boot/EFI/Linux", name), `sallyport.slot=${slot}`, { mode: 0o600 });
}
