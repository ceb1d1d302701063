// The hub's command line as docs/operations.md describes it: without --state, and with a clear
// message when a command is mistyped.
import { join } from "node:path";
import { connect } from "node:tls";
import * as v from "valibot";
import { test, type Test } from "tap";
import { labDevice, simpleEnrol } from "../lab/worlds/hub.ts";
import { startProgram } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { programFile } from "../lab/runner/programs.ts";

const MAIN = programFile("sallyport-hub");
const PORTS = ["--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json"] as const;
const readySchema = v.object({ event: v.literal("ready"), anchors: hubAnchorsSchema });

function hubProgram(env: Readonly<Record<string, string>>) {
  const program = (...args: readonly string[]) =>
    startProgram({ name: `sallyport-hub ${args.join(" ")}`, command: process.execPath, args: [MAIN, ...args], env });
  const run = async (...args: readonly string[]) => {
    const running = program(...args);
    const { code } = await running.ended;
    return { code, out: running.lines.join("\n") };
  };
  return { program, run };
}

async function serving(t: Test, program: ReturnType<typeof hubProgram>["program"], ...args: readonly string[]) {
  const running = program("serve", ...PORTS, ...args);
  t.teardown(async () => running.stop());
  const { anchors } = v.parse(readySchema, JSON.parse(await running.line(/"ready"/)));
  return { anchors, estPort: anchors.estPort, mqttPort: anchors.mqttPort };
}

test("without --state the state directory is SALLYPORT_HUB_STATE, and the commands that the hub prints work as printed", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  const { program, run } = hubProgram({ SALLYPORT_HUB_STATE: state });
  const made = await run("init", "--name", "Plant 7", "--host", "localhost");
  t.match(made, { code: 0, out: /then run: sallyport-hub serve$/ }, "the printed command is complete");
  const hub = await serving(t, program);
  const device = await labDevice("gw-1");
  const hint = /sallyport-hub (devices approve .*)/.exec((await simpleEnrol(hub, device.csr)).body.toString())?.[1] ?? "";
  t.match(await run(...hint.trim().split(" ")), { code: 0, out: /gw-1 sha256:[0-9a-f]{64} approved/ });
  t.match(await run("devices", "forget", "gw-1"), {
    code: 1,
    out: /hub\.device-conflict: .*first run\s+sallyport-hub\s+devices\s+revoke\s+gw-1/s,
  });
  const other = join(await temporaryDirectory(t), "other");
  t.match(await run("devices", "list", "--state", other), { code: 1, out: new RegExp(`hub\\.not-initialised: .*${other}`) });
  t.match(await run("devices", "list", "--state", ""), { code: 2, out: /needs --state/ });
  t.match((await run("serve", "--help")).out, /\[--state DIR\]/);
  t.match((await run("--help")).out, /SALLYPORT_HUB_STATE.*\/var\/lib\/sallyport-hub/s);
});

test("a mistyped value is quoted, with the form that is expected", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  const { run } = hubProgram({ SALLYPORT_HUB_STATE: state });
  await run("init", "--name", "Plant 7", "--host", "localhost");
  const wrongKey = await run("devices", "approve", "gw-1", "ab:cd");
  t.match(wrongKey, { code: 2, out: /usage\.invalid: FINGERPRINT "ab:cd" is invalid: expected sha256: and 64 hex/ });
  const wrongId = await run("devices", "revoke", "gw/1");
  t.match(wrongId, { code: 2, out: /usage\.invalid: ID "gw\/1" is invalid: expected / });
  for (const { out } of [wrongKey, wrongId]) t.notMatch(out, /\(whole\)/);
  t.match(await run("serve", "--min-tls", "1.1"), { code: 2, out: /--min-tls must be TLSv1\.2 or TLSv1\.3, got "1\.1"/ });
});

test("[TUN-2] the hub speaks TLS 1.3, and 1.2 only when it is configured", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  const { program, run } = hubProgram({ SALLYPORT_HUB_STATE: state });
  await run("init", "--name", "Plant 7", "--host", "localhost");
  const spoken = async ({ anchors }: Awaited<ReturnType<typeof serving>>, port: number, maxVersion: "TLSv1.2" | "TLSv1.3") => {
    const socket = connect({ host: "127.0.0.1", port, servername: "localhost", ca: anchors.authority, maxVersion });
    return new Promise<string>((resolve) => {
      socket.on("secureConnect", () => {
        resolve(socket.getProtocol() ?? "none");
        socket.destroy();
      });
      socket.on("error", ({ message }) => resolve(message));
    });
  };
  const strict = await serving(t, program);
  for (const port of [strict.estPort, strict.mqttPort]) {
    t.match(await spoken(strict, port, "TLSv1.2"), /alert protocol version/);
    t.equal(await spoken(strict, port, "TLSv1.3"), "TLSv1.3");
  }
  const second = join(await temporaryDirectory(t), "hub");
  await run("init", "--name", "Plant 8", "--host", "localhost", "--state", second);
  const lenient = await serving(t, program, "--state", second, "--min-tls", "TLSv1.2");
  for (const port of [lenient.estPort, lenient.mqttPort]) t.equal(await spoken(lenient, port, "TLSv1.2"), "TLSv1.2");
});
