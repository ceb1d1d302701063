// Attacks from outside: TCP ports tried over the board's cable, sticks plugged into its USB
// sockets, before and after the policy.
import * as v from "valibot";
import { lockdownViewSchema } from "../../warden/lockdown/format/index.ts";
import type { Outcome } from "../lab/counterparts/network-probe.ts";
import { boardPolicy, rosterOf } from "../lab/counterparts/operator-keys.ts";
import { eventually } from "../lab/runner/process.ts";
import { BAD_STICK, type Plugged, STICK } from "../lab/fakes/usb-tree.ts";
import { hubRecords, hubSays } from "../lab/worlds/hub-cli-json.ts";
import type { StepReport } from "./narrate.ts";
import { must, statusWhen } from "./proof.ts";
import { ANOTHER_DEVICE, BAD_STICK_SOCKET, FOREIGN, imageNetwork, KEPT_PORT, SHUT_PORT } from "./published.ts";
import type { World } from "./world.ts";

const STICK_SOCKET = "1-1";

export interface Ports {
  /**
   * Tries a TCP port from the hub's end of the cable; undefined where the board has no network of
   * its own.
   */
  readonly tcp: ((port: number) => Promise<Outcome>) | undefined;
  /** Whether the connection made while the port was open still carries data. */
  readonly held: (() => Promise<Outcome>) | undefined;
}

export async function imagePorts({ rig, network, ends }: World, report: StepReport): Promise<Ports> {
  rig.board.usb.plug(STICK_SOCKET, STICK);
  const { usb } = rig.board;
  must(usb.read("usb1/authorized_default") === "0", "the kernel admits no USB device by itself");
  must(usb.read(`${STICK_SOCKET}/authorized`) === "0", "a stick that is plugged in stays off");
  report.evidence("USB", `${named(STICK)} plugged into ${STICK_SOCKET}: authorized 0, the image's policy names no device`);
  report.result("the USB stick stays off: the image's policy names no USB device");
  if (network === undefined || ends === undefined) {
    report.evidence("TCP", "not tried: the board has no network of its own here");
    report.result("TCP ports were not tried: the board has no network of its own here");
    return { tcp: undefined, held: undefined };
  }

  const { board, outside } = ends;
  await Promise.all([board.listen(KEPT_PORT), board.listen(SHUT_PORT)]);
  const tcp = (port: number): Promise<Outcome> => outside.tcp(network.boardAddress, port);
  const [kept, shut] = [await tcp(KEPT_PORT), await tcp(SHUT_PORT)];
  must(kept === "open" && shut === "open", `both ports answer before the policy: ${kept}, ${shut}`);
  const held = await outside.hold(network.boardAddress, SHUT_PORT);
  must((await held()) === "open", "the connection carries something");
  report.evidence(
    "TCP",
    `${network.boardAddress} port ${KEPT_PORT} open, port ${SHUT_PORT} open; a connection to ${SHUT_PORT} is kept`,
  );
  report.result(
    `ports ${KEPT_PORT} and ${SHUT_PORT} answer, as the image's policy allows; a connection to ${SHUT_PORT} stays open`,
  );
  return { tcp, held };
}

const publishedSchema = v.looseObject({ timestamp: v.number(), told: v.array(v.string()) });
const answeredSchema = v.looseObject({ state: v.literal("answered"), result: lockdownViewSchema });

export async function confirmPolicy(world: World, id: string, report: StepReport): Promise<void> {
  const { rig, technician } = world;
  const { connections } = (await rig.status()).tunnel;
  await rig.release.target("operators/roster.json", rosterOf({ holder: technician, roles: ["technician"] }));
  await rig.release.target(
    "policy/plant-7.json",
    boardPolicy(rig.confirmer, {
      name: "plant 7",
      network: imageNetwork([KEPT_PORT]),
      usb: { allow: [{ ...STICK, interfaces: [...STICK.interfaces] }] },
    }),
  );
  await rig.release.target(FOREIGN, boardPolicy(rig.confirmer, { name: "another device's", network: imageNetwork() }), {
    audience: { devices: [ANOTHER_DEVICE] },
  });
  await rig.release.sign();
  const { timestamp, told } = await hubSays(rig.hub, publishedSchema, "release", "publish", rig.release.directory);
  must(told.includes(id), "the hub tells the device that something is new");
  report.evidence("published", `sallyport-hub release publish: roster, policies, releases; timestamp ${timestamp}`);
  const pending = await statusWhen(
    world,
    "the policy's trial, and a connection made through it",
    ({ life, lockdown, tunnel }) => life === "connected" && lockdown?.at === "pending" && tunnel.connections > connections,
  );
  report.evidence("on trial", `${pending.lockdown?.trial?.planHash ?? ""}, connection ${pending.tunnel.connections}`);
  const { result } = await hubSays(rig.hub, answeredSchema, "lockdown", "confirm", id, "--yes", "--key", rig.confirmer.keyFile);
  must(result.state.at === "confirmed" && result.state.counter === 1, `the policy is confirmed: ${result.state.at}`);
  report.evidence(
    "confirmed",
    `sallyport-hub lockdown confirm ${id} --yes --key confirmer.pem (key ${rig.confirmer.keyid.slice(0, 16)}...)`,
  );
  report.evidence("stays open", result.open.join("\n"));
  report.result("in force on trial; confirmed by a signed order over a new connection, else taken back after 30 s");
}

export async function tryPorts({ rig, network }: World, { tcp, held }: Ports, report: StepReport): Promise<void> {
  if (tcp !== undefined && held !== undefined && network !== undefined) {
    const [kept, shut, before] = [await tcp(KEPT_PORT), await tcp(SHUT_PORT), await held()];
    must(kept === "open", `port ${KEPT_PORT} still answers: ${kept}`);
    must(shut !== "open", `port ${SHUT_PORT} does not answer any more: ${shut}`);
    must(before !== "open", `the connection that was open is cut too: ${before}`);
    report.evidence(
      "TCP",
      `${network.boardAddress} port ${KEPT_PORT} ${kept}, port ${SHUT_PORT} ${shut}; the connection kept from before: ${before}`,
    );
    report.held(
      "network",
      `port ${SHUT_PORT} no longer answers and its open connection is cut, port ${KEPT_PORT} still answers`,
      `port ${SHUT_PORT} and its open connection were cut`,
    );
  }
  const { usb } = rig.board;
  await eventually(
    "the stick that the policy names is let in",
    async () => usb.read(`${STICK_SOCKET}/authorized`) === "1" || undefined,
  );
  usb.plug(BAD_STICK_SOCKET, BAD_STICK);
  const line = await eventually("the other stick is judged", async () =>
    (await lockdownShown(rig)).usb.find((one) => one.includes(BAD_STICK_SOCKET)),
  );
  must(usb.read(`${STICK_SOCKET}/authorized`) === "1", "the stick that the policy names works");
  must(usb.read(`${BAD_STICK_SOCKET}/authorized`) === "0", "the stick that is also a keyboard does not");
  report.evidence(
    "USB",
    `${named(STICK)} in ${STICK_SOCKET}: authorized 1\n${named(BAD_STICK)} in ${BAD_STICK_SOCKET}: authorized 0\n${line}`,
  );
  report.held(
    "USB",
    "a stick that is also a keyboard stays off, the stick that the policy names works",
    "a stick that is also a keyboard stays off",
  );
}

/** The policy was published together with the valid one, and is newer. */
export async function foreignPolicy({ rig }: World, { tcp }: Ports, id: string, report: StepReport): Promise<void> {
  report.evidence(
    "published",
    `${FOREIGN}, counter 2, properly signed, for ${ANOTHER_DEVICE}: it would open port ${SHUT_PORT} again`,
  );
  const { record } = await eventually("the warden's refusal in the trail at the hub", async () =>
    (await hubRecords(rig.hub, id)).find(
      ({ record: { event, detail } }) => event === "target.refused" && JSON.stringify(detail).includes(FOREIGN),
    ),
  );
  const { state } = await lockdownShown(rig);
  must(
    state.at === "confirmed" && state.counter === 1,
    `the policy in force stays: ${state.at}, counter ${state.counter ?? "none"}`,
  );
  const shut = await tcp?.(SHUT_PORT);
  must(shut !== "open", "the port stays shut");
  report.evidence("refused", `${record.event}: ${String(record.detail?.["why"])}`);
  report.evidence("in force", `plant 7, counter ${state.counter}${shut === undefined ? "" : `; port ${SHUT_PORT} ${shut}`}`);
  report.held("network", "a properly signed policy for another device is refused", "another device's policy was refused");
}

async function lockdownShown(rig: World["rig"]): Promise<v.InferOutput<typeof lockdownViewSchema>> {
  return await rig.ask("lockdown.show", lockdownViewSchema);
}

function named({ vendor, product, interfaces }: Plugged): string {
  return `${vendor}:${product} (${interfaces.join(" ")})`;
}
