// The steps of the demo in order. Each looks for its own proof and throws when the proof is
// missing.
import { confirmPolicy, foreignPolicy, imagePorts, tryPorts } from "./network.ts";
import { logIn } from "./login.ts";
import type { Narrator } from "./narrate.ts";
import { approve, bootWarden, certified, connected, killHub, makeRequest, serialStatus } from "./power-on.ts";
import { openTerminal } from "./terminal.ts";
import { flipByte, verifyAtHub } from "./trail.ts";
import { goodRelease, tamperedRelease, unhealthyRelease } from "./updates.ts";
import type { World } from "./world.ts";

export async function play(world: World, { step, skipped }: Narrator): Promise<void> {
  const { rig } = world;
  const hub = await step("The hub starts", async (report) => {
    const started = await rig.startHub();
    const anchors = await rig.hub.anchors();
    report.evidence(
      "listens",
      `${world.network?.hubAddress ?? "127.0.0.1"}, EST on ${rig.hub.ports.est}, MQTT on ${rig.hub.ports.mqtt}`,
    );
    await rig.hub.command("release", "publish", rig.release.directory, "--without-drafts");
    report.evidence("serves", "a signed repository that is still empty");
    report.evidence("in the image", `hub.json: name ${anchors.host}, authority, time key, witness key; root.json; policy.json`);
    report.result("authority, EST enrolment, MQTT broker, update repository, audit witness and signed time");
    return started;
  });
  await step("The board boots, and the warden reads its identity from the hardware", (report) => bootWarden(world, report));
  const terminal = world.cable === undefined ? undefined : await openTerminal(world.cable.hostPath);
  await step("The agent makes its key and certificate request on the board", (report) => makeRequest(world, report));
  const device = await step("An operator compares the fingerprints and approves the request", (report) =>
    approve(world, terminal, report),
  );
  const { id } = device;
  await step("The hub issues the certificate for this key", (report) => certified(world, report));
  await step("The tunnel connects over mutual TLS", (report) => connected(world, id, report));
  if (terminal === undefined) skipped("Status on the serial line", "needs socat: apt-get install socat");
  else await step("A technician reads the status on the serial line", (report) => serialStatus(terminal, report));
  await step("The hub is killed and restarted", (report) => killHub(world, hub, report));

  const ports = await step("An outsider tries the open network ports and plugs in a USB stick", (report) =>
    imagePorts(world, report),
  );
  await step("A signed policy arrives on trial and an operator confirms it", (report) => confirmPolicy(world, id, report));
  await step("The outsider tries again under the new policy", (report) => tryPorts(world, ports, report));
  await step("A policy for another device is published", (report) => foreignPolicy(world, ports, id, report));
  await step("Release 2 is installed, tried and committed", (report) => goodRelease(world, id, report));
  await step("Release 3 is changed after it was signed", (report) => tamperedRelease(world, id, report));
  await step("Release 4 is signed, but its agent does not run", (report) => unhealthyRelease(world, id, report));
  if (terminal === undefined) skipped("Login on the serial line", "needs socat: apt-get install socat");
  else
    await step("A technician logs in on the serial line with a key, not a password", (report) => logIn(world, terminal, report));

  await step("The hub verifies the audit trail that it received", (report) => verifyAtHub(world, id, report));
  await step("Somebody edits the audit log on the device", (report) => flipByte(world, device, report));
  await terminal?.close();
}
