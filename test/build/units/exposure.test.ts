// The exposure level of the gateway's services. The numbers are those of systemd 252; other
// versions weigh slightly differently.
import { readFileSync } from "node:fs";
import { test } from "tap";
import { needs } from "../../lab/runner/needs.ts";
import { PROJECT } from "../../lab/runner/sources.ts";
import { exposureOf, IMAGE_SERVICES, settingsOf, startOf, unitNames } from "../../lab/runner/units.ts";

const skip = needs("systemd-analyze");

const EXPOSURE_MAX: Readonly<Record<string, number>> = {
  "sallyport-agent.service": 1.5,
  "sallyport-warden.service": 2.9,
  "sallyport-install@.service": 1.5,
  "sallyport-firewall.service": 1.7,
  "sallyport-failed@.service": 2.9,
  "sallyport-trial.service": 2.9,
  "sallyport-audit-key.service": 2.9,
  // it removes other users' files, and discards blocks
  "sallyport-reset.service": 3.9,
};

for (const [unit, max] of Object.entries(EXPOSURE_MAX))
  test(`${unit} has an exposure of at most ${max}`, { skip }, async (t) => {
    const found = exposureOf(unit);
    t.ok(found <= max, `it is ${found}`);
  });

test("the service that writes the name servers has an exposure of at most 0.5", { skip }, async (t) => {
  const found = exposureOf("sallyport-names.service", IMAGE_SERVICES);
  t.ok(found <= 0.5, `it is ${found}`);
});

test("every Sallyport service has a bound, except the replacement of systemd's own", async (t) => {
  const services = unitNames().filter((name) => name.endsWith(".service") && name !== "emergency.service");
  t.same(
    services,
    Object.keys(EXPOSURE_MAX).sort((a, b) => (a < b ? -1 : 1)),
  );
});

test("settings that V8 or writing to sysfs cannot work with are not set", async (t) => {
  for (const unit of ["sallyport-agent.service", "sallyport-warden.service", "sallyport-install@.service"])
    t.equal(
      /^MemoryDenyWriteExecute=yes$/mu.test(settingsOf(unit)),
      startOf(unit).options.includes("--jitless"),
      `${unit}: V8 writes the code it runs, unless it only interprets`,
    );
  t.notMatch(settingsOf("sallyport-warden.service"), /^ProtectKernelTunables=yes/mu, "the warden disables USB devices in /sys");
});

test("the agent has no capability and only the devices TPM and console; the warden has no IP, the installer no network", async (t) => {
  const agent = settingsOf("sallyport-agent.service");
  t.match(agent, /^User=sallyport$/mu);
  t.match(agent, /^CapabilityBoundingSet=$/mu);
  t.match(agent, /^DevicePolicy=closed$/mu);
  t.same(
    [...agent.matchAll(/^DeviceAllow=(.*)$/gmu)].map(([, what]) => what),
    ["/dev/tpmrm0 rw"],
    "the console's line is added where it is known",
  );
  const warden = settingsOf("sallyport-warden.service");
  t.match(warden, /^RestrictAddressFamilies=AF_UNIX AF_NETLINK$/mu);
  t.match(warden, /^CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_TIME$/mu);
  t.match(warden, /^Before=network-pre\.target$/mu);
  const install = settingsOf("sallyport-install@.service");
  t.match(install, /^RestrictAddressFamilies=none$/mu);
  t.match(install, /^PrivateNetwork=yes$/mu);
  t.match(install, /^CapabilityBoundingSet=$/mu);
});

test("[ID-52] the warden has the TPM, also one that comes late, and its start waits for none", async (t) => {
  const warden = settingsOf("sallyport-warden.service");
  t.match(warden, /^DevicePolicy=closed$/mu);
  t.same(
    [...warden.matchAll(/^DeviceAllow=(.*)$/gmu)].map(([, what]) => what),
    ["/dev/tpmrm0 rw", "char-tpm rw"],
  );
  t.notMatch(warden, /^(?:After|Wants|Requires|BindsTo)=.*tpm/mu);
  const rules = readFileSync(`${PROJECT}build/units/usr/lib/udev/rules.d/60-sallyport.rules`, "utf8");
  t.match(rules, /KERNEL=="tpmrm\[0-9\]\*", OWNER:="root", GROUP:="tss", MODE:="0660"/u, "it opens it without CAP_DAC_OVERRIDE");
});

test("failed programs are started again, and the failure is reported on the console", async (t) => {
  for (const unit of ["sallyport-agent.service", "sallyport-warden.service"]) {
    t.match(settingsOf(unit), /^Restart=always$/mu);
    t.match(settingsOf(unit), /^OnFailure=sallyport-failed@%n\.service$/mu);
  }
});

test("the early firewall and the report of its failure wait for no partition", async (t) => {
  for (const unit of ["sallyport-firewall.service", "sallyport-failed@.service"]) {
    const settings = settingsOf(unit);
    t.match(settings, /^DefaultDependencies=no$/mu, unit);
    // systemd.exec(5): each of these pulls in mounts and is ordered after them.
    t.notMatch(settings, /^(?:After|Requires|RequiresMountsFor|PrivateTmp|\w+Directory)=/mu, unit);
  }
});

test("docs/operations.md starts the programs by hand as their units do", async (t) => {
  const text = readFileSync(`${PROJECT}docs/operations.md`, "utf8").replaceAll("\\\n", "").replaceAll(/ +/gu, " ");
  for (const program of ["sallyport-agent", "sallyport-warden"]) {
    const { options, env } = startOf(`${program}.service`);
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    t.ok(text.includes(` ${[...variables, "node", ...options].join(" ")} .../${program}/main.js\n`), program);
  }
});
