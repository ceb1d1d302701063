// The shell scripts that must work when no program of Sallyport runs.
import { spawnSync } from "node:child_process";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { test } from "tap";
import { createSystemdBootChoice, linuxBootEnd } from "../../../hal/linux/index.ts";
import { makeEsp, powerOnSystemdBoot } from "../../lab/fakes/systemd-boot.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { settingsOf, UNITS } from "../../lab/runner/units.ts";
import type { TestContext } from "../../lab/runner/context.ts";
import { HANG_MS } from "../../lab/runner/process.ts";

/** A machine that runs from `slot`. */
async function machine(t: TestContext, slot: string, images: Readonly<Record<string, "a" | "b">>) {
  const root = await temporaryDirectory(t);
  const esp = await makeEsp(root, images);
  await mkdir(join(root, "proc"), { recursive: true });
  await writeFile(join(root, "proc/cmdline"), `console=ttyS0 ${slot} quiet\n`);
  await writeFile(join(root, "console"), "");
  const reboot = join(root, "reboot");
  await writeFile(reboot, `#!/bin/sh\n: > "${root}/rebooted"\n`, { mode: 0o755 });
  const environment: Record<string, string> = {};
  const run = (script: string, ...args: string[]) =>
    spawnSync("/bin/sh", [`${UNITS}/usr/lib/sallyport/${script}`, ...args], {
      env: {
        ...environment,
        PATH: `${root}/bin:/usr/bin:/bin`,
        SALLYPORT_ROOT: root,
        SALLYPORT_CONSOLE: join(root, "console"),
        SALLYPORT_REBOOT: reboot,
      },
      encoding: "utf8",
      timeout: HANG_MS,
    });
  return {
    root,
    esp,
    environment,
    run,
    console: join(root, "console"),
    said: () => readFile(join(root, "console"), "utf8"),
    rebooted: async () => (await readdir(root)).includes("rebooted"),
    names: async () => (await readdir(join(esp, "EFI/Linux"))).sort((a, b) => (a < b ? -1 : 1)),
  };
}

test("[OTA-60] at the deadline a system on trial loses its tries, and the machine restarts into the committed one", async (t) => {
  const { root, esp, run, said, rebooted, names } = await machine(t, "sallyport.slot=b", {
    "gw_1_a.efi": "a",
    "gw_2_b+1-1.efi": "b",
  });
  t.equal(run("end-trial").status, 0);
  t.same(await names(), ["gw_1_a.efi", "gw_2_b+0.efi"]);
  t.ok(await rebooted());
  t.match(await said(), /slot b was not committed in time: restarting into slot a/u);
  t.equal(await powerOnSystemdBoot(root), "a");
  t.same(await createSystemdBootChoice({ esp, tries: 2 }).read(), { committed: "a", trial: { slot: "b", used: true } });
});

test("[OTA-70] before it restarts, the timer's script leaves a note for the other slot's warden; where it cannot, it restarts all the same", async (t) => {
  const images = { "gw_1_a.efi": "a", "gw_2_b+1-1.efi": "b" } as const;
  const { root, run, rebooted } = await machine(t, "sallyport.slot=b", images);
  const end = linuxBootEnd({ root, directory: join(root, "boot/sallyport") });
  await mkdir(join(root, "boot/sallyport"), { recursive: true });
  t.equal(run("end-trial").status, 0);
  t.ok(await rebooted());
  t.equal(await end.told("b"), "timer");
  t.equal(await end.told("a"), undefined);
  t.same(await readdir(join(root, "boot/sallyport")), ["trial-ended"]);
  const without = await machine(t, "sallyport.slot=b", images);
  t.equal(without.run("end-trial").status, 0);
  t.ok(await without.rebooted(), "without the directory");
  const committed = await machine(t, "sallyport.slot=a", images);
  await mkdir(join(committed.root, "boot/sallyport"), { recursive: true });
  t.equal(committed.run("end-trial").status, 0);
  t.same(await readdir(join(committed.root, "boot/sallyport")), [], "a committed system leaves none");
});

test("[OTA-60] at the deadline a committed system is left alone", async (t) => {
  for (const images of [
    { "gw_1_a.efi": "a" },
    { "gw_1_a.efi": "a", "gw_2_b+2.efi": "b" },
    { "gw_3_a.efi": "a", "gw_2_b.efi": "b" },
  ] as const) {
    const { run, said, rebooted, names } = await machine(t, "sallyport.slot=a", images);
    const before = await names();
    t.equal(run("end-trial").status, 0);
    t.same(await names(), before);
    t.equal(await said(), "");
    t.notOk(await rebooted());
  }
});

test("[OTA-60] with nothing to go back to, or without a known slot, the machine does not restart in a loop", async (t) => {
  const alone = await machine(t, "sallyport.slot=b", { "gw_2_b+0-2.efi": "b" });
  t.not(alone.run("end-trial").status, 0);
  t.notOk(await alone.rebooted());
  t.match(await alone.said(), /nothing to go back to/u);
  for (const slot of ["", "sallyport.slot=c", "xsallyport.slot=b", "sallyport.slot=bb"]) {
    const lost = await machine(t, slot, { "gw_1_a.efi": "a", "gw_2_b+1-1.efi": "b" });
    t.not(lost.run("end-trial").status, 0, slot);
    t.notOk(await lost.rebooted());
    t.match(await lost.said(), /did not say its slot/u);
  }
});

test("[OTA-35] without the kernel images, the boot loader's count decides", async (t) => {
  const { root, run, rebooted } = await machine(t, "sallyport.slot=b", {});
  await rm(join(root, "boot"), { recursive: true });
  t.not(run("end-trial").status, 0);
  t.notOk(await rebooted());
  await mkdir(join(root, "sys/firmware/efi/efivars"), { recursive: true });
  await writeFile(join(root, "sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"), "");
  t.equal(run("end-trial").status, 0);
  t.ok(await rebooted());
});

test("[OTA-35] a console line that accepts no bytes holds up neither a system on trial nor a failed unit", async (t) => {
  const {
    console: line,
    environment,
    run,
    rebooted,
    names,
  } = await machine(t, "sallyport.slot=b", {
    "gw_1_a.efi": "a",
    "gw_2_b+1-1.efi": "b",
  });
  await rm(line);
  t.equal(spawnSync("mkfifo", [line]).status, 0, "a pipe without a reader blocks its writers");
  environment["SALLYPORT_CONSOLE_S"] = "1";
  t.equal(run("report-failure", "sallyport-agent.service").status, 0);
  t.equal(run("end-trial").status, 0);
  t.same(await names(), ["gw_1_a.efi", "gw_2_b+0.efi"]);
  t.ok(await rebooted());
});

test("[OTA-60] a kernel image without bytes, which a power cut left, is neither committed nor a system to go back to", async (t) => {
  const cut = await machine(t, "sallyport.slot=b", { "gw_1_a.efi": "a", "gw_2_b+0-2.efi": "b" });
  await writeFile(join(cut.esp, "EFI/Linux/gw_2_b.efi"), "");
  t.equal(cut.run("end-trial").status, 0);
  t.ok(await cut.rebooted());
  const alone = await machine(t, "sallyport.slot=b", { "gw_2_b+1-1.efi": "b" });
  await writeFile(join(alone.esp, "EFI/Linux/gw_1_a.efi"), "");
  t.not(alone.run("end-trial").status, 0);
  t.notOk(await alone.rebooted());
});

test("[OTA-35] a failed unit is started again, whether or not its report reaches the console", async (t) => {
  for (const unit of ["emergency.service", "sallyport-failed@.service"]) {
    const [words, again, ...more] = settingsOf(unit).match(/^ExecStart=.*$/gmu) ?? [];
    t.match(words, /^ExecStart=-\/usr\/bin\/timeout -k 5 45 \/usr\/lib\/sallyport\/report-failure /u, `${unit}: it may fail`);
    t.match(again, /^ExecStart=\/bin\/sh -c 'sleep 30; .*systemctl/u);
    t.same(more, []);
    t.match(settingsOf(unit), /^TimeoutStartSec=2min$/mu, "enough time for both");
  }
});

test("the report has the failed program's last line and how it ended, even when it runs again", async (t) => {
  const { root, environment, run, said } = await machine(t, "sallyport.slot=a", {});
  await mkdir(join(root, "bin"));
  // journalctl(1): --unit also matches systemd's messages about the unit.
  const journalctl =
    '#!/bin/sh\ncase "$*" in *--unit=*) echo "Failed to start." ;; *_SYSTEMD_UNIT=sallyport-agent.service*) echo "no key" ;; esac\n';
  await writeFile(join(root, "bin/journalctl"), journalctl, { mode: 0o755 });
  Object.assign(environment, { MONITOR_SERVICE_RESULT: "exit-code", MONITOR_EXIT_STATUS: "3" });
  run("report-failure", "sallyport-agent.service");
  t.match(await said(), /sallyport-agent\.service failed: exit-code 3; it said: no key\r\n$/u);
});

test("[ID-26] the warden's own line with the fingerprint of its audit key is shown on the console, and no other program's", async (t) => {
  const { root, run, said } = await machine(t, "sallyport.slot=a", {});
  await mkdir(join(root, "bin"));
  const key = `sha256:${"7a".repeat(32)}`;
  const lines = `printf '%s\\n' 'sallyport-warden: audit key of "GW-1": sha256:${"00".repeat(32)}' 'sallyport-warden: audit key of "GW-1": ${key}' 'sallyport-warden: audit key of "GW-1": ${key} [31m'`;
  const journalctl = `#!/bin/sh\ncase "$*" in *--boot*_SYSTEMD_UNIT=sallyport-warden.service*) ${lines} ;; *) echo 'audit key of "GW-1": sha256:${"ee".repeat(32)}' ;; esac\n`;
  await writeFile(join(root, "bin/journalctl"), journalctl, { mode: 0o755 });

  t.equal(run("show-audit-key").status, 0);
  t.equal(await said(), `\r\nsallyport: audit key of "GW-1": ${key}\r\n`);
  await writeFile(join(root, "bin/journalctl"), "#!/bin/sh\n", { mode: 0o755 });
  t.equal(run("show-audit-key").status, 1, "without the line nothing is said");
});

test("[ID-73] what the warden says of the TPM is shown on the console before any byte of the agent, in words of the script", async (t) => {
  const { root } = await machine(t, "sallyport.slot=a", {});
  // A pipe, because a line, unlike a file, keeps what was written to it before.
  const said = (): string =>
    spawnSync("/bin/sh", ["-c", '/bin/sh "$1" | cat', "sh", `${UNITS}/usr/lib/sallyport/show-audit-key`], {
      env: { PATH: `${root}/bin:/usr/bin:/bin`, SALLYPORT_ROOT: root, SALLYPORT_CONSOLE: "/dev/stdout" },
      encoding: "utf8",
    }).stdout;
  await mkdir(join(root, "bin"));
  const key = `audit key of "GW-1": sha256:${"7a".repeat(32)}`;
  for (const [codes, words] of [
    [["key.tpm-unavailable", "key.tpm-missing"], "TPM missing"],
    [["key.not-this-board"], "not this board: the TPM is not the device's own"],
    [["key.tpm-cleared"], "TPM cleared"],
    [["key.tpm-unavailable"], "not known yet whether the device's TPM is here"],
    [["tpm.busy"], undefined],
  ] as const) {
    const lines = [
      ...codes.map((code) => `sallyport-warden: trouble: ${code}: \u001b[31m "$(reboot)"`),
      `sallyport-warden: ${key}`,
    ];
    await writeFile(join(root, "bin/lines"), `${lines.join("\n")}\n`);
    await writeFile(join(root, "bin/journalctl"), `#!/bin/sh\ncat ${root}/bin/lines\n`, { mode: 0o755 });
    t.equal(said(), `${words === undefined ? "" : `\r\nsallyport: ${words}\r\n`}\r\nsallyport: ${key}\r\n`);
  }
});

test("when the system cannot be started, up to three failed units are reported with reason and last line", async (t) => {
  const { root } = await machine(t, "sallyport.slot=a", {});
  // A pipe, because a line, unlike a file, keeps what was written to it before.
  const said = (): string =>
    spawnSync("/bin/sh", ["-c", '/bin/sh "$1" emergency.target | cat', "sh", `${UNITS}/usr/lib/sallyport/report-failure`], {
      env: { PATH: `${root}/bin:/usr/bin:/bin`, SALLYPORT_ROOT: root, SALLYPORT_CONSOLE: "/dev/stdout" },
      encoding: "utf8",
    }).stdout;
  await mkdir(join(root, "bin"));
  const fake = (name: string, script: string): Promise<void> =>
    writeFile(join(root, "bin", name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  // systemctl(1) of 257; mount(8) of util-linux 2.41
  await fake(
    "systemctl",
    `case "$*" in
      "list-units --failed --plain --no-legend --full") cat "${root}/failed" ;;
      "show --property=Result --value -- systemd-fsck@dev-sallyport-data.service" | "show --property=Result --value -- var-lib.mount") echo exit-code ;;
      "show --property=Result --value -- boot.mount") echo timeout ;;
      "show --property=ExecMainStatus --value -- systemd-fsck@"*) echo 8 ;;
    esac`,
  );
  await fake(
    "journalctl",
    `case "$*" in
      *_PID=1*--priority=err*) echo "Timed out waiting for device dev-sallyport-data.device." ;;
      *_SYSTEMD_UNIT=var-lib.mount) printf 'mount: /var/lib: wrong fs type\n       dmesg(1) may have more information.\n' ;;
      *_SYSTEMD_UNIT=systemd-fsck@*) echo "fsck failed with exit status 8." ;;
    esac`,
  );
  await writeFile(
    join(root, "failed"),
    ["boot.mount", "systemd-fsck@dev-sallyport-data.service", "var-lib.mount", "var.mount"]
      .map((name) => `${name} loaded failed failed What it is\n`)
      .join(""),
  );
  const lines = said()
    .split("\r\n")
    .filter((text) => text !== "");
  t.same(lines, [
    'sallyport: device "unknown" slot a: boot.mount failed: timeout',
    'sallyport: device "unknown" slot a: systemd-fsck@dev-sallyport-data.service failed: exit-code 8; it said: fsck failed with exit status 8.',
    'sallyport: device "unknown" slot a: var-lib.mount failed: exit-code; it said: mount: /var/lib: wrong fs type',
  ]);
  await writeFile(join(root, "failed"), "");
  t.match(said(), /the system could not be started: Timed out waiting for device dev-sallyport-data\.device\.\r\n$/u);
  await fake("journalctl", "");
  t.match(said(), /the system could not be started: unknown\r\n$/u);
});

test("a failure is reported on the console with device, slot and unit; missing ones are unknown", async (t) => {
  const { root, run, said } = await machine(t, "sallyport.slot=b", {});
  t.equal(run("report-failure", "sallyport-agent.service").status, 0);
  t.match(await said(), /^\r\nsallyport: device "unknown" slot b: sallyport-agent\.service failed: .*\r\n$/u);
  await mkdir(join(root, "boot/sallyport"));
  await writeFile(
    join(root, "boot/sallyport/birth.json"),
    '{"id":"GW-0001","keyFingerprint":"x","protection":"tpm","source":"serial","v":1}',
  );
  t.equal(run("report-failure", "sallyport-warden.service").status, 0);
  t.match(await said(), /device "GW-0001" slot b: sallyport-warden\.service failed/u);
  await writeFile(join(root, "boot/sallyport/birth.json"), '{"id":"\u001b[2Jx"}');
  run("report-failure", "sallyport-warden.service");
  t.notMatch(await said(), /\u001b/u, "no control characters reach the terminal");
});

test("a partition counts only on the disk of the running root, whatever its name is", async (t) => {
  const root = await temporaryDirectory(t);
  const disks = { ours: "/devices/pci0/virtio1/block/vda", card: "/devices/pci0/mmc0/block/mmcblk0" };
  for (const path of [`${disks.ours}/vda1`, `${disks.ours}/vda2`, `${disks.ours}/vda4`, `${disks.card}/mmcblk0p4`])
    await mkdir(join(root, "sys", path), { recursive: true });
  const mapped = async (node: string, name: string, below: string): Promise<void> => {
    const device = join(root, "sys/devices/virtual/block", node);
    await mkdir(join(device, "dm"), { recursive: true });
    await mkdir(join(device, "slaves"));
    await writeFile(join(device, "dm/name"), `${name}\n`);
    await symlink(join(root, "sys", below), join(device, "slaves", basename(below)));
    await mkdir(join(root, "sys/class/block"), { recursive: true });
    await symlink(device, join(root, "sys/class/block", node));
  };
  const isOurs = (path: string): boolean =>
    spawnSync("/bin/sh", [`${UNITS}/usr/lib/sallyport/own-disk`, path], { env: { PATH: "/usr/bin:/bin", SALLYPORT_ROOT: root } })
      .status === 0;
  t.notOk(isOurs(`${disks.ours}/vda4`), "without a verified root no partition counts");
  await mapped("dm-0", "somebody's", `${disks.card}/mmcblk0p4`);
  await mapped("dm-1", "root", `${disks.ours}/vda2`);
  t.ok(isOurs(`${disks.ours}/vda1`));
  t.ok(isOurs(`${disks.ours}/vda4`));
  t.notOk(isOurs(`${disks.card}/mmcblk0p4`), "a card that somebody inserted");
});
