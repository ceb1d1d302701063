// How exposed the gateway's services are. The numbers are those of systemd 252; another version weighs a little otherwise.
import { test } from "tap";
import { needs } from "../../lab/runner/needs.ts";
import { exposureOf, IMAGE_SERVICES, settingsOf, unitNames } from "../../lab/runner/units.ts";

const skip = needs("systemd-analyze");

const EXPOSURE_MAX: Readonly<Record<string, number>> = {
  "sallyport-agent.service": 1.5,
  "sallyport-warden.service": 2.9,
  "sallyport-install@.service": 1.5,
  "sallyport-firewall.service": 1.7,
  "sallyport-failed@.service": 2.9,
  "sallyport-trial.service": 2.9,
};

for (const [unit, max] of Object.entries(EXPOSURE_MAX))
  test(`${unit} is exposed at most ${max}`, { skip }, async (t) => {
    const found = exposureOf(unit);
    t.ok(found <= max, `it is ${found}`);
  });

test("what writes the name servers is exposed at most 0.5", { skip }, async (t) => {
  const found = exposureOf("sallyport-names.service", IMAGE_SERVICES);
  t.ok(found <= 0.5, `it is ${found}`);
});

test("every service of ours has a bound, but for the one that is systemd's own", async (t) => {
  const services = unitNames().filter((name) => name.endsWith(".service") && name !== "emergency.service");
  t.same(
    services,
    Object.keys(EXPOSURE_MAX).sort((a, b) => (a < b ? -1 : 1)),
  );
});

test("what V8 and sysfs can't do with is not set", async (t) => {
  for (const unit of ["sallyport-agent.service", "sallyport-warden.service", "sallyport-install@.service"])
    t.notMatch(settingsOf(unit), /^MemoryDenyWriteExecute=yes/mu, `${unit}: V8 writes the code it runs`);
  t.notMatch(settingsOf("sallyport-warden.service"), /^ProtectKernelTunables=yes/mu, "it shuts USB ports in /sys");
});

test("the agent has no right and no device but TPM and console; the warden no IP; the installer no network", async (t) => {
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

test("programs that fail are started again, and the console is told", async (t) => {
  for (const unit of ["sallyport-agent.service", "sallyport-warden.service"]) {
    t.match(settingsOf(unit), /^Restart=always$/mu);
    t.match(settingsOf(unit), /^OnFailure=sallyport-failed@%n\.service$/mu);
  }
});

test("what shuts the doors and what says that it failed wait for no partition", async (t) => {
  for (const unit of ["sallyport-firewall.service", "sallyport-failed@.service"]) {
    const settings = settingsOf(unit);
    t.match(settings, /^DefaultDependencies=no$/mu, unit);
    // systemd.exec(5): each of these pulls in mounts, and is ordered behind them
    t.notMatch(settings, /^(?:After|Requires|RequiresMountsFor|PrivateTmp|\w+Directory)=/mu, unit);
  }
});
