// The arguments that start QEMU as a gateway: a PC with UEFI firmware, a disk that can lose power,
// two serial lines, a TPM, USB ports and a watchdog. Everything is emulated in software: a /dev/kvm
// that exists may still not run a guest, and what passes here must pass everywhere.
import { HUB_ADDRESS, UPLINK_SLOT } from "./address.ts";
import { FIRMWARE_CODE } from "./firmware.ts";
import { type UsbDevice, usbWords } from "./usb.ts";

/**
 * A port of this machine (127.0.0.1) that the gateway reaches at {@link HUB_ADDRESS}. It reaches
 * nothing else.
 */
export interface Forward {
  readonly port: number;
  readonly to: number;
}

export interface Hardware {
  /** The serial number that the firmware reports for board and system (DMI). */
  readonly serialNumber: string;
  /** The MAC of its one built-in network interface. */
  readonly mac: string;
  readonly memoryMib: number;
  readonly processors: number;
  readonly forwards: readonly Forward[];
  /**
   * How many times slower than the emulator its processors are: they stand still for the rest of
   * each turn, while its clocks, its watchdog and its deadlines go on. Default: 1.
   */
  readonly slowness?: number;
}

export interface Attached {
  readonly disk: string;
  readonly variables: string;
  readonly serial: string;
  readonly log: string;
  readonly monitor: string;
  readonly tpm: string | undefined;
  readonly plugged: readonly UsbDevice[];
}

/** @returns the arguments. The machine waits for `cont`, so that none of its output is lost. */
export function qemuArguments(hardware: Hardware, attached: Attached): readonly string[] {
  const { disk, variables, serial, log, monitor, tpm, plugged } = attached;
  return [
    ["-nodefaults", "-no-user-config", "-display", "none", "-S"],
    ["-machine", "q35", "-cpu", "max", "-accel", "tcg,thread=multi"],
    ["-m", `${hardware.memoryMib}`, "-smp", `${hardware.processors}`],
    ["-rtc", "base=utc"],
    ["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${FIRMWARE_CODE}`],
    ["-drive", `if=pflash,unit=1,format=raw,file=${variables}`],
    ["-smbios", `type=1,manufacturer=Sallyport,product=Lab gateway,serial=${hardware.serialNumber}`],
    ["-smbios", `type=2,manufacturer=Sallyport,product=Lab gateway,serial=${hardware.serialNumber}`],
    // write-cache: the guest sees a cache, so it flushes, and QEMU passes the flush on.
    ["-blockdev", JSON.stringify({ driver: "nbd", "node-name": "disk", server: { type: "unix", path: disk } })],
    ["-device", "virtio-blk-pci,drive=disk,write-cache=on,bootindex=0"],
    ["-chardev", `socket,id=serial,path=${serial}`, "-serial", "chardev:serial"],
    ["-chardev", `socket,id=log,path=${log}`, "-serial", "chardev:log"],
    ["-chardev", `socket,id=monitor,path=${monitor}`, "-mon", "chardev=monitor,mode=control"],
    ["-netdev", ["user", "id=net", "restrict=on", ...hardware.forwards.map(forward)].join(",")],
    ["-device", `virtio-net-pci,netdev=net,mac=${hardware.mac},addr=${UPLINK_SLOT},romfile=`],
    ["-device", "virtio-rng-pci"],
    ["-device", "i6300esb", "-action", "watchdog=reset"],
    ["-device", "qemu-xhci,id=usb"],
    ...plugged.map(usbWords).map(({ device, drive }) => {
      const backed = drive === undefined ? [] : ["-blockdev", JSON.stringify(drive)];
      return [...backed, "-device", JSON.stringify(device)];
    }),
    tpm === undefined
      ? []
      : ["-chardev", `socket,id=tpm,path=${tpm}`, "-tpmdev", "emulator,id=tpm,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm"],
  ].flat();
}

/** One program for each connection: a plain `tcp:` forward of QEMU carries only one. */
function forward({ port, to }: Forward): string {
  return `guestfwd=tcp:${HUB_ADDRESS}:${port}-cmd:/usr/bin/socat - TCP4:127.0.0.1:${to}`;
}
