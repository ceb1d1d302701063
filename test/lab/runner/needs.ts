// What a test needs from the machine, and the reason for a skip when it is missing.
// SALLYPORT_PARTS=all (set by .ci/run) turns a missing part into a failure: CI must not pass by
// skipping.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Fault } from "../../../hal/fault.ts";
import { FIRMWARE_CODE } from "../gateway/firmware.ts";

const PROJECT = fileURLToPath(new URL("../../../", import.meta.url));

/** Root of the unpacked Debian 13 packages beside the project; see build/parts.sh. */
export const PARTS_DIRECTORY = `${PROJECT}.parts/debian13/root`;

/** nft as Debian 13 and the gateway's image have it; the part `nft-debian13`. */
export const NFT_DEBIAN13 = `${PROJECT}.parts/debian13/nft/nft`;

/** DHCP clients and servers; the part `dhcp`. Scripts of the clients lie below `root`. */
export const DHCP_DIRECTORY = `${PROJECT}.parts/dhcp`;

/** systemd's, of the machine; the part `networkd`. */
export const NETWORKD = "/lib/systemd/systemd-networkd";

export type Part =
  | "root"
  | "swtpm"
  | "tpm2-provider"
  | "tpm2-tools"
  | "mosquitto"
  | "openssl"
  | "certtool"
  | "nginx"
  | "ipv6"
  | "curl"
  | "socat"
  | "flock"
  | "faketime"
  | "casync"
  | "netns"
  | "nft-debian13"
  | "dhcp"
  | "networkd"
  | "udevadm"
  | "mounts"
  | "bundles"
  | "cpio"
  | "perl"
  | "systemd-analyze"
  | "systemd-notify"
  | "qemu-io"
  | "qemu"
  | "image";

const WHY: Record<Part, string> = {
  root: "needs root: run as root",
  swtpm: "needs swtpm: apt-get install swtpm swtpm-tools",
  "tpm2-provider": "needs OpenSSL's tpm2 provider >= 1.2.0: sh build/parts.sh unpacks it from Debian 13",
  "tpm2-tools": "needs tpm2-tools: apt-get install tpm2-tools",
  mosquitto: "needs Mosquitto 2: apt-get install mosquitto",
  openssl: "needs openssl: apt-get install openssl",
  certtool: "needs GnuTLS's certtool: apt-get install gnutls-bin",
  nginx: "needs nginx: apt-get install nginx-light",
  ipv6: "needs an IPv6 loopback: the kernel's setting net.ipv6.conf.lo.disable_ipv6 = 0",
  curl: "needs curl: apt-get install curl",
  socat: "needs socat: apt-get install socat",
  flock: "needs flock: apt-get install util-linux",
  faketime: "needs faketime: apt-get install faketime",
  casync: "needs casync: apt-get install casync",
  netns: "needs network namespaces: run as root with iproute2, outside containers that forbid them",
  "nft-debian13": "needs nft of Debian 13: sh build/parts.sh unpacks it beside the project",
  dhcp: "needs DHCP clients and servers: sh build/parts.sh unpacks them beside the project",
  networkd: "needs systemd-networkd: apt-get install systemd",
  udevadm: "needs udevadm: apt-get install udev",
  mounts: "needs to mount file systems: run as root with CAP_SYS_ADMIN",
  bundles: "needs the bundles: npm run build",
  cpio: "needs cpio: apt-get install cpio",
  perl: "needs perl: apt-get install perl-base",
  "systemd-notify": "needs systemd-notify: apt-get install systemd",
  "systemd-analyze": "needs systemd-analyze security --offline: apt-get install systemd (250 or later)",
  "qemu-io": "needs qemu-io: apt-get install qemu-utils",
  qemu: "needs QEMU for x86_64 with UEFI firmware and socat: as root, sh build/setup.sh --parts --gateway",
  image: "needs what npm run image needs, on x86_64 and as root: sh build/setup.sh --parts --gateway",
};

/** The programs of build/image and of the images of tests; docs/flashing.md lists the packages. */
const IMAGE_PROGRAMS: readonly string[] = [
  "mmdebstrap",
  "mksquashfs",
  "veritysetup",
  "xz",
  "mkfs.ext4",
  "mkfs.vfat",
  "mcopy",
  "sfdisk",
];

function onPath(program: string): boolean {
  return ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].some((directory) => existsSync(`${directory}/${program}`));
}

function has(part: Part): boolean {
  switch (part) {
    case "root":
      return process.getuid?.() === 0;
    case "tpm2-provider":
      return tpm2Provider() !== undefined;
    case "tpm2-tools":
      return onPath("tpm2_quote");
    case "nft-debian13":
      return existsSync(`${PROJECT}.parts/debian13/nft/usable`);
    case "ipv6":
      return (
        existsSync("/proc/net/if_inet6") &&
        readFileSync("/proc/net/if_inet6", "utf8").includes("00000000000000000000000000000001")
      );
    case "dhcp":
      return existsSync(`${DHCP_DIRECTORY}/usable`);
    case "networkd":
      return existsSync(NETWORKD);
    case "netns":
      return process.getuid?.() === 0 && onPath("ip") && canMakeNamespaces();
    case "mounts":
      return process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "true"]).status === 0;
    case "bundles":
      return existsSync(`${PROJECT}dist/sallyport-agent/main.js`) && existsSync(`${PROJECT}dist/sallyport-warden/main.js`);
    case "systemd-analyze":
      return scoresUnits();
    case "qemu":
      return onPath("qemu-system-x86_64") && onPath("socat") && existsSync(FIRMWARE_CODE);
    case "image":
      return process.getuid?.() === 0 && process.arch === "x64" && IMAGE_PROGRAMS.every(onPath);
    default:
      return onPath(part);
  }
}

function scoresUnits(): boolean {
  const { status, stdout } = spawnSync("systemd-analyze", ["security", "--help"], { encoding: "utf8" });
  return status === 0 && stdout.includes("--offline");
}

/** It makes one, because root in a container or a chroot may not be allowed to. */
function canMakeNamespaces(): boolean {
  const name = `sallyport-probe-${process.pid}`;
  const made =
    spawnSync("ip", ["netns", "add", name]).status === 0 && spawnSync("ip", ["netns", "exec", name, "true"]).status === 0;
  spawnSync("ip", ["netns", "delete", name]);
  return made;
}

/**
 * The tpm2 provider's module and the library path that it needs, when build/parts.sh has unpacked
 * one that loads here.
 */
export function tpm2Provider(): { readonly module: string; readonly libraryPath: string } | undefined {
  if (!existsSync(`${PROJECT}.parts/debian13/usable`)) return undefined;
  for (const triplet of ["x86_64-linux-gnu", "aarch64-linux-gnu"]) {
    const libraryPath = `${PARTS_DIRECTORY}/usr/lib/${triplet}`;
    const module = `${libraryPath}/ossl-modules/tpm2.so`;
    if (existsSync(module)) return { module, libraryPath };
  }
  return undefined;
}

/**
 * For tap's `skip` option.
 * @returns false when every part is here, else the reason.
 * @throws Fault `assert.broken` instead of returning a reason, where SALLYPORT_PARTS=all says that
 * the machine should have everything.
 */
export function needs(...parts: readonly Part[]): string | false {
  const missing = lacking(...parts);
  return missing === undefined ? false : missingPart(missing);
}

/**
 * @returns the reason when a part is missing, also when SALLYPORT_PARTS=all: for a
 * caller that goes on without it.
 */
export function lacking(...parts: readonly Part[]): string | undefined {
  const missing = parts.filter((part) => !has(part));
  return missing.length === 0 ? undefined : missing.map((part) => WHY[part]).join("; ");
}

/**
 * @returns `why`, for a skip.
 * @throws Fault `assert.broken` instead, where SALLYPORT_PARTS=all says that the machine should
 * have everything.
 */
export function missingPart(why: string): string {
  if (process.env["SALLYPORT_PARTS"] === "all")
    throw new Fault("assert.broken", `a part that this machine should have is missing: ${why}`);
  return why;
}
