// A technician at the serial line of an approved board: a login and an order by challenge, with
// real processes and a real pty.
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { openTerminal, type Terminal } from "../demo/terminal.ts";
import { connectedBoard } from "../lab/worlds/connected-board.ts";
import { needs } from "../lab/runner/needs.ts";
import { makeKeyHolder, rosterOf } from "../lab/counterparts/operator-keys.ts";
import { HANG_MS } from "../lab/runner/process.ts";
import { startPtyPair } from "../lab/counterparts/pty.ts";
import { AGENT_UID } from "../lab/worlds/rig.ts";

test(
  "[CON-4] [CON-5] [OPS-8] [OPS-9] only an operator of the roster logs in by a signature, and reboots the board by another",
  { skip: needs("socat", "bundles") },
  async (t) => {
    const cable = await startPtyPair(process.getuid?.() === 0 ? { deviceUser: AGENT_UID } : {});
    t.teardown(() => cable.stop());
    const machine = await connectedBoard(t, { agentConfig: { console: { path: cable.devicePath } } });
    const { rig, launcher, recorded } = machine;
    const [ada, eve] = [await makeKeyHolder(rig.directory, "ada"), await makeKeyHolder(rig.directory, "eve")];
    await rig.release.target("operators/roster.json", rosterOf({ holder: ada, roles: ["technician"] }));
    await machine.publish();
    await recorded("the roster is taken", ({ event }) => event === "roster.accepted");

    const terminal = await openTerminal(cable.hostPath);
    t.teardown(() => terminal.close());
    const types = async (line: string, prompt = /> $/u): Promise<string> => {
      await terminal.type(`${line}\r`);
      return await terminal.until(prompt, HANG_MS);
    };
    const answered = async (challenge: string, keyFile: string): Promise<string> =>
      await types((await rig.hub.command("answer", challenge, "--key", keyFile)).trim());
    await types("");
    t.match(await types("audit tail"), /operation\.denied/, "without a login the trail cannot be read");
    t.match(await types("reboot"), /operation\.denied|login/, "and the board cannot be rebooted");
    const challenge = challengeIn(await types("login", /answer> $/u));
    t.match(await answered(challenge, eve.keyFile), /order\.bad-signature/);
    // [CON-5] The device asked for a second. That an answer before it is refused is proven on a
    // fake clock.
    await sleep(1100);
    t.match(await answered(challenge, ada.keyFile), /Logged in as ada, technician/);
    t.match(await types("audit tail 5"), /login\.accepted/);
    t.match(await types("status"), /CONNECTED/);
    t.equal(await overAgain(terminal, challenge), "unknown", "an old answer is no command");

    const order = challengeIn(await types("reboot", /answer> $/u));
    t.match(order, /system\.reboot/);
    await terminal.type(`${(await rig.hub.command("answer", order, "--key", ada.keyFile)).trim()}\r`);
    t.match(await launcher.booted(2), { slot: "a", trial: false, after: /ada/ });
    await machine.statusWhen("the tunnel after the reboot", ({ life }) => life === "connected");
    for (const wanted of ["login.accepted", "order.accepted"])
      await recorded(`${wanted} under her name`, ({ event, principal }) => event === wanted && principal === "ada");
    t.match(await types("", /Authorised use[^]*> $/u), /> $/u, "the session is over");
    t.match(await types("audit tail"), /operation\.denied/);
  },
);

async function overAgain(terminal: Terminal, challenge: string): Promise<"unknown" | "known"> {
  await terminal.type(`${challenge}\r`);
  return /no command/u.test(await terminal.until(/> $/u, HANG_MS)) ? "unknown" : "known";
}

function challengeIn(screen: string): string {
  return /sp1\/[a-z.]+\/[A-Za-z0-9._/-]+/u.exec(screen)?.[0] ?? "";
}

test(
  "[CON-12] [OPS-8] an operator who is taken out of the roster loses the session on the console, on real processes and a real pty",
  { skip: needs("socat", "bundles") },
  async (t) => {
    const cable = await startPtyPair(process.getuid?.() === 0 ? { deviceUser: AGENT_UID } : {});
    t.teardown(() => cable.stop());
    const machine = await connectedBoard(t, { agentConfig: { console: { path: cable.devicePath } } });
    const { rig, recorded } = machine;
    const [ada, bo] = [await makeKeyHolder(rig.directory, "ada"), await makeKeyHolder(rig.directory, "bo")];
    await rig.release.target("operators/roster.json", rosterOf({ holder: ada, roles: ["technician"] }));
    await machine.publish();
    await recorded("the roster is taken", ({ event }) => event === "roster.accepted");

    const terminal = await openTerminal(cable.hostPath);
    t.teardown(() => terminal.close());
    await terminal.type("\r");
    await terminal.until(/> $/u, HANG_MS);
    await terminal.type("login\r");
    const challenge = challengeIn(await terminal.until(/answer> $/u, HANG_MS));
    await terminal.type(`${(await rig.hub.command("answer", challenge, "--key", ada.keyFile)).trim()}\r`);
    t.match(await terminal.until(/> $/u, HANG_MS), /Logged in as ada/u);

    await rig.release.target("operators/roster.json", rosterOf({ holder: bo, roles: ["technician"] }));
    await machine.publish();
    t.match(
      await terminal.until(/new\s+session\./u, HANG_MS),
      /The roster of this device has changed: ada is logged\s+out\./u,
      "nobody typed anything",
    );
    await recorded(
      "the end of her session",
      ({ event, principal, detail }) => event === "console.closed" && principal === "ada" && detail?.["reason"] === "roster",
    );
  },
);
