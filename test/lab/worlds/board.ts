// A simulated board: a folder that looks like the kernel's view of a small gateway, and the
// directories of its programs. A test adds real parts (TPM, serial line, network) itself.
import { randomUUID } from "node:crypto";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemKernel, systemRoot } from "./system-image.ts";
import { type FakeKernel, fakeKernel } from "../fakes/usb-tree.ts";

/** The hardware that releases for this board name. */
export const HARDWARE = "lab-gateway-2";
/**
 * The name server in the resolver's configuration: an address for documentation (RFC 5737) that
 * never answers.
 */
export const NAME_SERVER = "192.0.2.53";

export interface BoardOptions {
  readonly directory: string;
  /** DMI product serial. Undefined: the board has a placeholder, as many boards have. */
  readonly serial: string | undefined;
  /** The permanent MAC of eth0. */
  readonly mac: string;
}

export interface Board {
  /** Stands for `/`: it has sys/ and proc/. */
  readonly root: string;
  readonly agentState: string;
  readonly wardenState: string;
  readonly birth: string;
  readonly run: string;
  readonly agentRun: string;
  readonly etc: string;
  /** Slot images and the boot-choice file. */
  readonly slots: { readonly a: string; readonly b: string; readonly bootChoice: string };
  /** Its four USB ports 1-1 to 1-4, and the hand that plugs devices in. */
  readonly usb: Pick<FakeKernel, "plug" | "unplug" | "powerOn" | "read">;
}

/** Builds the folder with a fresh boot id. */
export async function buildBoard({ directory, serial, mac }: BoardOptions): Promise<Board> {
  const root = join(directory, "board");
  const put = async (path: string, text: string | Uint8Array): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };
  await put("sys/class/dmi/id/sys_vendor", "Sallyport Lab\n");
  await put("sys/class/dmi/id/product_name", "Lab Gateway 2\n");
  await put("sys/class/dmi/id/product_serial", `${serial ?? "Default string"}\n`);
  await put("sys/class/dmi/id/board_serial", "To Be Filled By O.E.M.\n");
  await put("sys/class/dmi/id/chassis_serial", "Default string\n");
  await put("proc/uptime", "12.34 20.00\n");
  await put("proc/loadavg", "0.10 0.05 0.01 1/80 400\n");
  await put("proc/meminfo", "MemTotal:         512000 kB\nMemFree:          300000 kB\nMemAvailable:     400000 kB\n");
  await boot(root);
  await network(root, put, "eth0", mac, "pci0000:00/0000:00:01.0");
  await network(root, put, "eth1", nextMac(mac), "pci0000:00/0000:00:02.0");
  await put("sys/class/net/lo/type", "772\n");
  await put("sys/class/net/lo/flags", "0x9\n");
  await put("sys/class/net/lo/operstate", "unknown\n");
  await put("proc/net/route", ROUTES);
  await put("proc/net/ipv6_route", IPV6_ROUTES);
  await put("etc/resolv.conf", `nameserver ${NAME_SERVER}\n`);
  const usb = fakeKernel(root);
  usb.addController(1, 4);
  await put("sys/bus/usb/devices/usb1/idVendor", "1d6b\n");
  await put("sys/bus/usb/devices/usb1/idProduct", "0002\n");
  const slots = { a: join(root, "slots/a.img"), b: join(root, "slots/b.img"), bootChoice: join(root, "slots/boot-choice") };
  await put("slots/a.img", systemRoot(FIRST_IMAGE));
  await put("slots/a.kernel", systemKernel(FIRST_IMAGE));
  await put("slots/b.img", "");
  await put("slots/boot-choice", "a\n");
  await put("proc/cmdline", "console=ttyS0 sallyport.slot=a\n");
  await mkdir(join(root, "run"), { recursive: true });
  const places = {
    agentState: join(directory, "var/agent"),
    wardenState: join(directory, "var/warden"),
    birth: join(directory, "birth"),
    run: join(directory, "run/sallyport"),
    agentRun: join(directory, "run/sallyport-agent"),
    etc: join(directory, "etc"),
  };
  for (const place of Object.values(places)) await mkdir(place, { recursive: true, mode: 0o755 });
  await chmod(places.wardenState, 0o700);
  return { root, slots, usb, ...places };
}

const FIRST_IMAGE = { version: "1.0.0", counter: 1, bytes: 65_536 };

/**
 * proc(5), /proc/net/route: addresses in the machine's byte order, hex. The default route by eth0
 * leads to the hub.
 */
const ROUTES = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
`;
/** Of a machine that has no IPv6 but its own loopback. */
const IPV6_ROUTES =
  "00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n";

/** Boots the board again: a new boot id, and everything else as before. */
export async function boot(root: string): Promise<string> {
  const bootId = randomUUID();
  await mkdir(join(root, "proc/sys/kernel/random"), { recursive: true });
  await writeFile(join(root, "proc/sys/kernel/random/boot_id"), `${bootId}\n`);
  return bootId;
}

async function network(
  root: string,
  put: (path: string, text: string) => Promise<void>,
  name: string,
  mac: string,
  bus: string,
): Promise<void> {
  const device = `sys/devices/${bus}`;
  await put(`${device}/net/${name}/address`, `${mac}\n`);
  await put(`${device}/net/${name}/addr_assign_type`, "0\n");
  await put(`${device}/net/${name}/type`, "1\n");
  await put(`${device}/net/${name}/flags`, "0x1003\n");
  await put(`${device}/net/${name}/operstate`, "up\n");
  await put(`${device}/uevent`, "DRIVER=lab\n");
  await symlink("../..", join(root, `${device}/net/${name}/device`)).catch(ignoreExisting);
  await mkdir(join(root, "sys/class/net"), { recursive: true });
  await symlink(`../../devices/${bus}/net/${name}`, join(root, `sys/class/net/${name}`)).catch(ignoreExisting);
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
}

function nextMac(mac: string): string {
  const last = (Number.parseInt(mac.slice(-2), 16) + 1) % 256;
  return `${mac.slice(0, -2)}${last.toString(16).padStart(2, "0")}`;
}
