// One unified kernel image per release: kernel, initrd and command line in one file that the firmware can check as a whole. It names no slot: an add-on beside
// it on the ESP does, so that the same release fits both (systemd-stub(7), "*.efi.extra.d/*.addon.efi").
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SlotName } from "../../hal/format/slots.ts";
import type { Base } from "./base.ts";
import { makeInitrd } from "./initrd.ts";
import { run } from "./run.ts";
import { type VerifiedRoot, verityWord } from "./verity.ts";
import { makeWorkDirectory } from "./workdir.ts";

export interface KernelOptions {
  readonly base: Base;
  readonly verified: VerifiedRoot;
  /** Of `usbcore.authorized_default`: 0 none, 2 only what is soldered on, where the firmware tells. Any other number would let all in. */
  readonly usb: 0 | 2;
  /** Where the kernel writes, such as `ttyS1`; a screen when left out. Never the line of our console. */
  readonly logTo: string | undefined;
}

/** The same in every release: systemd-boot sorts by the versions in it before it looks at names, and in those lies the boot choice. */
const LOADER_RELEASE = 'NAME="Sallyport gateway"\nID=sallyport\nPRETTY_NAME="Sallyport gateway"\nIMAGE_ID=gw\n';

/**
 * An emulator on a busy machine delivers timer interrupts so late that the kernel takes the timer for broken, and panics at once. Only where somebody listens in: a
 * real machine's timer is to be checked. Under KVM and other hypervisors the kernel leaves the check out by itself.
 */
const NO_TIMER_CHECK = "no_timer_check";

function commandLine({ verified, usb, logTo }: KernelOptions): string {
  const words = [
    verityWord(verified),
    `usbcore.authorized_default=${usb}`,
    "panic=5",
    "oops=panic",
    `console=${logTo ?? "tty0"}`,
    ...(logTo === undefined ? ["quiet", "loglevel=3"] : ["loglevel=5", "systemd.journald.forward_to_console=1", NO_TIMER_CHECK]),
    "ro",
    "rootfstype=squashfs",
    "sysctl.kernel.sysrq=0", // no magic key, also before systemd sets it
    "init_on_alloc=1",
    "slab_nomerge",
    "lockdown=integrity",
    "systemd.show_status=no",
    "systemd.gpt_auto=no",
    "systemd.firstboot=off",
    // nobody is there to be asked: what preening leaves to a person would keep the machine from starting for ever
    "fsck.repair=yes",
  ];
  return words.join(" ");
}

/** Inside the tools' own Debian, so that the builder's need not have ukify. */
async function inTools<T>(base: Base, work: (folder: string, inside: string) => Promise<T>): Promise<T> {
  await using folder = await makeWorkDirectory(join(base.tools, "tmp"), "image-");
  return await work(folder.path, folder.path.slice(base.tools.length));
}

/** A gateway's, for any slot. @throws Fault `process.failed`. */
export async function makeKernel(options: KernelOptions, file: string): Promise<void> {
  const { base } = options;
  await unify(base, { initrd: await makeInitrd(base), commandLine: commandLine(options), osRelease: LOADER_RELEASE }, file);
}

export interface Unified {
  readonly initrd: Uint8Array;
  readonly commandLine: string;
  readonly osRelease: string;
}

/** The base's kernel and these as one file for the firmware. @throws Fault `process.failed`. */
export async function unify(base: Base, { initrd, commandLine, osRelease }: Unified, file: string): Promise<void> {
  await inTools(base, async (folder, inside) => {
    await writeFile(join(folder, "initrd"), initrd);
    await writeFile(join(folder, "cmdline"), commandLine);
    await writeFile(join(folder, "os-release"), osRelease);
    await run("chroot", [
      base.tools,
      "ukify",
      "build",
      `--linux=/boot/vmlinuz-${base.kernel}`,
      `--initrd=${inside}/initrd`,
      `--cmdline=@${inside}/cmdline`,
      `--os-release=@${inside}/os-release`,
      `--uname=${base.kernel}`,
      `--output=${inside}/kernel.efi`,
    ]);
    await copyFile(join(folder, "kernel.efi"), file);
  });
}

/** The add-on that says to any release in the slot where it is. */
export async function makeSlotAddon(base: Base, slot: SlotName, file: string): Promise<void> {
  await inTools(base, async (folder, inside) => {
    await run("chroot", [base.tools, "ukify", "build", `--cmdline=sallyport.slot=${slot}`, `--output=${inside}/slot.addon.efi`]);
    await copyFile(join(folder, "slot.addon.efi"), file);
  });
}
