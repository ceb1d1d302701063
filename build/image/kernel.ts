// The unified kernel image of a release: kernel, initrd and command line in one file that the
// firmware can verify as a whole. It names no slot, so that the same release fits both: an add-on
// beside it on the ESP names the slot (systemd-stub(7), "*.efi.extra.d/*.addon.efi").
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SlotName } from "../../hal/format/slots.ts";
import type { Base } from "./base.ts";
import { makeInitrd } from "./initrd.ts";
import { run } from "./run.ts";
import { type VerifiedRoot, verityParameter } from "./verity.ts";
import { makeWorkDirectory } from "./workdir.ts";

export interface KernelOptions {
  readonly base: Base;
  readonly verified: VerifiedRoot;
  /**
   * The value of `usbcore.authorized_default`: 0 authorises no device, 2 only built-in ones that
   * the firmware describes. Any other number would authorise all.
   */
  readonly usb: 0 | 2;
  /**
   * The line for the kernel's messages, such as `ttyS1`; the default is the screen. Never the
   * console's line.
   */
  readonly logTo: string | undefined;
  /** Seconds until the watchdog resets a system that has stopped, from the initrd on. [OTA-80] */
  readonly watchdogS?: number | undefined;
}

/**
 * [OTA-80] [OTA-82] Four times what an emulated board on a busy machine needs: docs/flashing.md. A
 * watchdog that takes another time keeps no system from booting [OTA-81].
 */
export const WATCHDOG_S = 180;

/**
 * The same in every release: systemd-boot sorts by its versions before it sorts by file names, and
 * the file names have the boot choice.
 */
const LOADER_RELEASE = 'NAME="Sallyport gateway"\nID=sallyport\nPRETTY_NAME="Sallyport gateway"\nIMAGE_ID=gw\n';

/**
 * An emulator on a busy machine delivers timer interrupts so late that the kernel considers the
 * timer broken and panics. This is set only together with a log line: a real machine's timer must
 * be checked. Under KVM and other hypervisors the kernel omits the check itself.
 */
const NO_TIMER_CHECK = "no_timer_check";

function commandLine({ verified, usb, logTo, watchdogS = WATCHDOG_S }: KernelOptions): string {
  const parameters = [
    verityParameter(verified),
    `usbcore.authorized_default=${usb}`,
    "panic=5",
    "oops=panic",
    `console=${logTo ?? "tty0"}`,
    ...(logTo === undefined ? ["quiet", "loglevel=3"] : ["loglevel=5", "systemd.journald.forward_to_console=1", NO_TIMER_CHECK]),
    "ro",
    "rootfstype=squashfs",
    "sysctl.kernel.sysrq=0", // no magic SysRq key, even before systemd disables it
    "init_on_alloc=1",
    "slab_nomerge",
    "lockdown=integrity",
    "systemd.show_status=no",
    "systemd.gpt_auto=no",
    "systemd.firstboot=off",
    // read by the initrd and by systemd, kernel-command-line(7)
    `systemd.watchdog_sec=${watchdogS}`,
    // Nobody is there to answer fsck: an error that it leaves to a person would stop every boot.
    "fsck.repair=yes",
  ];
  return parameters.join(" ");
}

/** Runs `work` in the tools' own Debian, so that the builder's need not have ukify. */
async function inTools<T>(base: Base, work: (folder: string, inside: string) => Promise<T>): Promise<T> {
  await using folder = await makeWorkDirectory(join(base.tools, "tmp"), "image-");
  return await work(folder.path, folder.path.slice(base.tools.length));
}

/** Makes the kernel image of a gateway, for any slot. @throws Fault `process.failed`. */
export async function makeKernel(options: KernelOptions, file: string): Promise<void> {
  const { base } = options;
  await unify(base, { initrd: await makeInitrd(base), commandLine: commandLine(options), osRelease: LOADER_RELEASE }, file);
}

export interface Unified {
  readonly initrd: Uint8Array;
  readonly commandLine: string;
  readonly osRelease: string;
}

/**
 * Combines the base's kernel and these into one file for the firmware.
 * @throws Fault `process.failed`.
 */
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

/** Makes the add-on that tells any release in the slot which slot it is. */
export async function makeSlotAddon(base: Base, slot: SlotName, file: string): Promise<void> {
  await inTools(base, async (folder, inside) => {
    await run("chroot", [base.tools, "ukify", "build", `--cmdline=sallyport.slot=${slot}`, `--output=${inside}/slot.addon.efi`]);
    await copyFile(join(folder, "slot.addon.efi"), file);
  });
}
