// The progress of a boot, from lines of a real gateway.
import { test } from "tap";
import { nextMilestones, SWITCHED_ON } from "./milestones.ts";

const FIRST_BOOT = [
  'BdsDxe: loading Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0)',
  'BdsDxe: starting Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0)',
  "EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path",
  "EFI stub: Measured initrd data into PCR 9",
  "[    0.040000] tsc: Unable to calibrate against PIT",
  "[    0.737009] mtrr: your CPUs had inconsistent fixed MTRR settings",
  "[   20.318961] systemd[1]: Finished systemd-modules-load.service - Load Kernel Modules.",
  "[   32.763871] systemd[1]: Reached target local-fs.target - Local File Systems.",
  '[   76.373880] node[393]: sallyport-warden: device "GW-LAB-0001" (serial), listening on "/run/sallyport/warden.sock"',
  "[   80.285660] systemd-networkd[534]: enp0s8: DHCPv4 address 10.0.2.15/24 acquired from 10.0.2.2",
  "[   92.090848] node[533]: sallyport-agent: sallyport-agent/0.1.0 started",
  "[   97.645192] node[533]: sallyport-agent: life blank -> keyed",
  "[   98.315536] node[533]: sallyport-agent: life keyed -> requested",
  "[  102.272658] node[533]: sallyport-agent: life requested -> enrolled",
  '[  104.209545] node[533]: sallyport-agent: tunnel connected to "hub.sallyport.test": TLSv1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768, MQTT 3.1.1',
  "[  104.226385] node[533]: sallyport-agent: life enrolled -> connected",
];

function reported(lines: readonly string[]): readonly string[] {
  let state = SWITCHED_ON;
  return lines.flatMap((line) => {
    const next = nextMilestones(state, line);
    state = next.state;
    return next.milestones.map(({ step, text }) => `${step}: ${text}`);
  });
}

test("a first boot is reported step by step, each step once", async (t) => {
  t.same(reported(FIRST_BOOT), [
    "firmware: firmware starts the boot loader",
    "image: boot loader has chosen a slot and starts its kernel",
    "kernel: kernel runs",
    "system: root image verified, systemd starts services",
    "disk: data partition mounted",
    "warden: warden listens: device GW-LAB-0001, from the board's serial",
    "network: network: 10.0.2.15/24",
    "agent: agent runs",
    "life: agent has its key",
    "life: agent asks the hub for a certificate",
    "life: agent has its certificate",
    "tunnel: tunnel to hub.sallyport.test: TLSv1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768, MQTT 3.1.1",
    "life: connected",
  ]);
});

test("a boot loader after a kernel is a restart, and the boot is reported again", async (t) => {
  const twice = reported([...FIRST_BOOT, ...FIRST_BOOT]);
  t.equal(twice.length, 2 * 13 + 1);
  t.equal(twice[13], "restart: it restarts");
});

test("a program that ends and a root image that differs from the signed one are reported each time", async (t) => {
  const failed = "[   90.1] systemd[1]: sallyport-agent.service: Failed with result 'exit-code'.";
  t.equal(reported([...FIRST_BOOT, failed, failed]).filter((line) => line.startsWith("trouble: ")).length, 2);
  t.same(reported(["[    9.1] device-mapper: verity: 254:2: data block 3 is corrupted"]).slice(1), [
    "trouble: device-mapper: verity: 254:2: data block 3 is corrupted",
  ]);
});

test("lines that only look like milestones are none", async (t) => {
  t.same(reported(["sallyport is a word", "systemd[1]: no time stamp", ""]), []);
});
