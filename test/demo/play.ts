// The steps in order. Each looks for its own proof and throws when it is not there.
import { confirmPolicy, foreignPolicy, imageDoors, tryDoors } from "./network.ts";
import { logIn } from "./login.ts";
import type { Narrator } from "./narrate.ts";
import { approve, bootWarden, certified, connected, killHub, makeRequest, serialStatus } from "./power-on.ts";
import { openTerminal } from "./terminal.ts";
import { flipByte, verifyAtHub } from "./trail.ts";
import { goodRelease, tamperedRelease, unhealthyRelease } from "./updates.ts";
import type { World } from "./world.ts";

export async function play(world: World, { step, skipped }: Narrator): Promise<void> {
  const { rig } = world;
  const hub = await step("The hub starts: authority, enrolment, broker, witness, time", async (say) => {
    const started = await rig.startHub();
    const anchors = await rig.hub.anchors();
    say("listens", `${world.network?.hubAddress ?? "127.0.0.1"}, EST on ${rig.hub.ports.est}, MQTT on ${rig.hub.ports.mqtt}`);
    await rig.hub.command("release", "publish", rig.release.directory);
    say("serves", "a signed repository, with nothing in it yet");
    say("in the image", `hub.json: name ${anchors.host}, authority, time key, witness key; root.json; policy.json`);
    return started;
  });
  await step("The board boots: the warden reads who it is from the hardware", (say) => bootWarden(world, say));
  const terminal = world.cable === undefined ? undefined : await openTerminal(world.cable.hostPath);
  await step("The agent makes a key and a certificate request on the board", (say) => makeRequest(world, say));
  const device = await step("An operator compares the fingerprint and approves it", (say) => approve(world, terminal, say));
  const { id } = device;
  await step("The certificate is issued, for this key only", (say) => certified(world, say));
  await step("The tunnel is up: mutual TLS, each side sees the other", (say) => connected(world, id, say));
  if (terminal === undefined) skipped("Status on the serial line", "needs socat: apt-get install socat");
  else await step("A technician reads the status on the serial line", (say) => serialStatus(terminal, say));
  await step("The hub is killed and comes back: nothing is lost", (say) => killHub(world, hub, say));

  const doors = await step("Somebody tries the doors that the image leaves open", (say) => imageDoors(world, say));
  await step("A signed policy arrives, is tried, and confirmed by a key through a new connection", (say) =>
    confirmPolicy(world, id, say),
  );
  await step("The doors again: what the policy does not name is shut", (say) => tryDoors(world, doors, say));
  await step("A policy signed for another device is refused", (say) => foreignPolicy(world, doors, id, say));
  await step("The hub points at release 2: written, booted, healthy, committed", (say) => goodRelease(world, id, say));
  await step("Release 3 was tampered with: refused before a byte reaches a slot", (say) => tamperedRelease(world, id, say));
  await step("Release 4 is signed but ill: rolled back, with its reason", (say) => unhealthyRelease(world, id, say));
  if (terminal === undefined) skipped("Login on the serial line", "needs socat: apt-get install socat");
  else
    await step("A technician logs in on the serial line, without a password or a network", (say) => logIn(world, terminal, say));

  await step("The hub verifies the audit trail it received: it tells all of it", (say) => verifyAtHub(world, id, say));
  await step("One byte of the device's log is flipped: the verifier names the entry", (say) => flipByte(world, device, say));
  await terminal?.close();
}
