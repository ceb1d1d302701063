// A disk that was enrolled, started in another board: it leaves the tunnel to the first board, says
// so on both sides, and is let in by the hub's operator only. [ID-96] [ID-97]
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { isLongRun } from "../lab/runner/long-run.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { hubCommand } from "../lab/worlds/hub-cli.ts";
import { approveOn, birthOf, untilStatus } from "../lab/worlds/probes.ts";
import { buildRig, DEFAULT_MAC } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";
const COPY = { serial: "SPG2-CLONE0002", macs: ["00:1b:99:3a:4f:58", "00:1b:99:3a:4f:59"] };
const FIRST = { serial: ID, macs: [DEFAULT_MAC, "00:1b:21:3a:4f:59"] };

/** Gives the simulated board another serial and other MACs. */
function setBoard(root: string, { serial, macs }: typeof COPY): void {
  writeFileSync(join(root, "sys/class/dmi/id/product_serial"), `${serial}\n`);
  const net = join(root, "sys/class/net");
  const cards = readdirSync(net).filter((name) => name.startsWith("eth"));
  for (const [at, card] of cards.toSorted().entries()) writeFileSync(join(net, card, "address"), `${macs[at] ?? ""}\n`);
}

test(
  "[ID-96] [ID-97] a copied disk in another board does not take the tunnel of the first board, says why, and is an alert at the hub",
  { skip: needs("bundles") },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    let warden = await rig.startWarden();
    let agent = await rig.startAgent();
    await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    t.match(await birthOf(rig), { v: 3, id: ID, board: FIRST });
    const startOn = async (board: typeof COPY) => {
      await agent.stop();
      await warden.stop();
      setBoard(rig.board.root, board);
      warden = await rig.startWarden();
      agent = await rig.startAgent();
    };
    const hubSays = async (...words: readonly string[]) =>
      (await hubCommand(join(rig.directory, "hub"), ...words)).out.join("\n");

    await startOn(COPY);
    const alert = await eventually("the hub's alert", async () =>
      (await hubSays("alerts")).split("\n").find((line) => line.includes("device.other-board")),
    );
    t.match(alert, /born="serial SPG2-0A1B2C3D, MAC 00:1b:21.*found="serial SPG2-CLONE0002, MAC 00:1b:99/u);
    const status = await untilStatus(
      rig,
      "why it does not connect",
      ({ tunnel }) => (tunnel.lastFault?.code ?? "") === "identity.other-board",
    );
    t.equal(status.tunnel.connections, 0);
    t.match(
      status.troubles.join("\n"),
      /identity\.other-board: the disk of "SPG2-0A1B2C3D" is in another board: born on .*devices board/u,
    );
    t.match(status.tunnel.lastFault?.message, /leaves the tunnel to it; put it back, or run on the hub/u);
    t.notMatch(await hubSays("devices", "list"), /tunnel {3}since/u);

    await startOn(FIRST);
    await agent.line(/life .* -> connected/u);
    const first = await untilStatus(rig, "what the hub knows", ({ troubles }) =>
      troubles.some((each) => each.startsWith("identity.elsewhere")),
    );
    t.match(first.troubles.join("\n"), /serial SPG2-CLONE0002, MAC 00:1b:99.*leaves the tunnel to this one and waits/u);
    t.notMatch(first.troubles.join("\n"), "identity.other-board");

    await startOn(COPY);
    await untilStatus(rig, "it waits again", ({ tunnel }) => tunnel.lastFault?.code === "identity.other-board");
    t.match(await hubSays("devices", "board", ID, "--admit"), /let in/u);
    await agent.line(/life .* -> connected/u);
    const letIn = await untilStatus(rig, "connected", ({ tunnel }) => tunnel.state === "connected");
    t.match(letIn.troubles.join("\n"), /identity\.changed: .*operator has let this one in/u);
    t.notMatch(letIn.troubles.join("\n"), "left to the first board", "the status does not say what is over");
    t.match(readFileSync(join(rig.board.birth, "birth.json"), "utf8"), ID, "the record of the birth stays");
  },
);

test(
  "[ID-95] of two boards with one serial the second one says so in its status, and gets an id of its own from a file",
  { skip: needs("bundles") === false && isLongRun() ? false : needs("bundles") || "only in the long run" },
  async (t) => {
    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const hub = await rig.startHub();
    let [warden, agent] = [await rig.startWarden(), await rig.startAgent()];
    await approveOn(rig, hub, ID);
    await agent.line(/life .* -> connected/u);
    const second = async () => {
      await agent.stop();
      await warden.stop();
      await rig.replaceBoard(ID);
      setBoard(rig.board.root, { serial: ID, macs: COPY.macs });
      [warden, agent] = [await rig.startWarden(), await rig.startAgent()];
    };
    await second();
    const status = await untilStatus(rig, "two boards", ({ enrolment }) => enrolment?.lastFault?.code === "enrol.id-taken");
    t.equal(status.enrolment?.state, "waiting-for-approval");
    t.match(status.enrolment?.lastFault?.message, /two boards may claim this id: .*id of its own, in the file device-id/u);
    t.match(rig.command("status").stdout.replaceAll(/\s+/gu, " "), "two boards may claim this id");

    writeFileSync(join(rig.board.root, "etc/device-id"), "line-7.gw-2\n");
    await rig.configure({ wardenConfig: { commissionedIdFile: "/etc/device-id" } });
    await second();
    await approveOn(rig, hub, "line-7.gw-2");
    await agent.line(/life .* -> connected/u);
    t.match(await birthOf(rig), { id: "line-7.gw-2", source: "commissioned", board: { serial: ID } });
    t.match(
      (await hubCommand(join(rig.directory, "hub"), "alerts")).out.join("\n"),
      /device\.other-key SPG2-0A1B2C3D .*twoBoards=true/u,
    );
  },
);
