// docs/foreign-hub.md, walked: its commands set up Mosquitto, nginx and an authority of openssl,
// and a device of ours lives with them. None of our hub's programs runs.
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { deviceIdSchema } from "../../hal/format/identity.ts";
import { encodeCertsOnly } from "../../provisioning/x509/format/index.ts";
import { signOrder } from "../../warden/orders/format/index.ts";
import { serveHttps } from "../lab/counterparts/est-server.ts";
import { freePort } from "../lab/counterparts/mosquitto.ts";
import { type Credential, openssl } from "../lab/counterparts/pki.ts";
import { commandsOf, runCommands } from "../lab/runner/document.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { untilStatus } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const DOCUMENT = "docs/foreign-hub.md";
const ID = "SPG2-0A1B2C3D";
/** The board of the test is this machine, whose packet filter is left alone. */
const NO_FIREWALL = "lockdown.not-enforced: packet filter";

interface Walk {
  readonly directory: string;
  readonly ports: { readonly est: number; readonly mqtt: number; readonly files: number };
  /** Runs the next block, which must stand under `heading`. */
  readonly run: (heading: string) => Promise<string>;
  readonly left: () => number;
  readonly file: (name: string) => string;
}

async function openWalk(t: Test): Promise<Walk> {
  const directory = await temporaryDirectory(t);
  chmodSync(directory, 0o755); // for the users that Mosquitto and nginx become
  const programs = join(directory, "bin");
  mkdirSync(programs);
  const release = `exec ${process.execPath} ${programFile("sallyport-release")} "$@"`;
  writeFileSync(join(programs, "sallyport-release"), `#!/bin/sh\n${release}\n`, { mode: 0o755 });
  const ports = { est: await freePort(), mqtt: await freePort(), files: await freePort() };
  const blocks = [...commandsOf(DOCUMENT)];
  return {
    directory,
    ports,
    left: () => blocks.length,
    file: (name) => join(directory, name),
    run: async (heading) => {
      const next = blocks.shift();
      t.equal(next?.heading, heading);
      const here = (next?.text ?? "")
        .replaceAll("GW-4711", ID)
        .replaceAll("8443", String(ports.est))
        .replaceAll("8883", String(ports.mqtt));
      return runCommands(directory, programs, here.replaceAll("8444", String(ports.files)));
    },
  };
}

/** The EST server of the page: its command behind HTTPS. It answers with the leaf alone. */
async function serveEst(t: Test, { directory, file, ports }: Walk, issue: string): Promise<void> {
  const read = (name: string): string => readFileSync(file(name), "utf8");
  const server: Credential = { certFile: "", keyFile: "", cert: read("ca.crt"), key: read("ca.key") };
  const root: Credential = { certFile: "", keyFile: "", cert: read("root.crt"), key: "" };
  const der = (text: string): Buffer => openssl(["x509", "-outform", "DER"], text);
  const est = await serveHttps(
    server,
    root,
    (asked, response) => {
      const answer = (...list: readonly Buffer[]) => void response.end(Buffer.from(encodeCertsOnly(list)).toString("base64"));
      if (asked.path.endsWith("/cacerts")) return answer(der(root.cert), der(read("issuing.crt")));
      if (!asked.path.endsWith("enroll")) return void response.writeHead(404).end();
      const request = openssl(["req", "-inform", "DER"], Buffer.from(asked.body, "base64"));
      writeFileSync(file("asked.csr"), request);
      const made = spawnSync("sh", ["-euc", `${issue}\nissue asked.csr issued.pem`], { cwd: directory, encoding: "utf8" });
      if (made.status !== 0) return void response.writeHead(500).end(made.stderr);
      return answer(der(read("issued.pem")));
    },
    { listenPort: ports.est },
  );
  t.teardown(() => est.close());
}

const parts = needs("bundles", "openssl", "curl", "mosquitto", "nginx", "root");

test(
  "[TUN-61] [TUN-62] [ID-83] a device lives with Mosquitto, nginx and an authority of openssl, set up as the page says",
  { skip: parts },
  async (t) => {
    const walk = await openWalk(t);
    const { file, ports, run } = walk;
    await run("Authority");
    t.teardown(() => stopByPid(file("broker/mosquitto.pid")));
    await run("Broker");
    t.teardown(() => stopByPid(file("nginx.pid")));
    await run("Web server");
    const issue = commandsOf(DOCUMENT).find(({ heading }) => heading === "EST server")?.text ?? "";
    await run("EST server");
    await serveEst(t, walk, issue);
    await run("The device");

    const rig = await buildRig();
    t.teardown(() => rig.stop());
    const [anchors, trustRoot] = [join(rig.board.etc, "plant.json"), join(rig.board.etc, "plant-root.json")];
    copyFileSync(file("hub.json"), anchors);
    copyFileSync(file("release/repository/metadata/1.root.json"), trustRoot);
    for (const path of [anchors, trustRoot]) chmodSync(path, 0o644);
    const at = (port: number) => ({ connectTo: { host: "127.0.0.1", port } });
    await rig.configure({
      agentConfig: { anchors, trustRoot, enrolment: at(ports.est), tunnel: at(ports.mqtt), repository: at(ports.files) },
      wardenConfig: { anchors, trustRoot },
    });
    t.equal(rig.check("agent").code, 0);
    await rig.startWarden();
    const agent = await rig.startAgent();
    await agent.line(/life .* -> connected/u);
    const status = await untilStatus(
      rig,
      "the device is connected, without troubles",
      ({ life, troubles }) => life === "connected" && troubles.every((trouble) => trouble.startsWith(NO_FIREWALL)),
    );
    t.match(status, {
      without: ["time", "witness"],
      certificate: { issuer: "CN=Plant issuing CA" },
      clock: { state: "unverified" },
    });
    const screen = rig.command("status").stdout;
    t.match(screen, /audit .* records, NOT PROTECTED: no witness, 0 dropped/u);
    t.match(screen, "clock   plausible, NOT PROTECTED: the hub has no time service");
    await eventually("the device asks for releases", async () =>
      /GET \/metadata\/timestamp\.json HTTP\/1\.1" 200/u.test(readFileSync(file("nginx-access.log"), "utf8")) ? true : undefined,
    );
    t.match(lastMessage(await run("The tenant's program")), { body: { state: "online", mqtt: "5" } });
    t.match(lastMessage(await run("The tenant's program")), {
      body: { kind: "operation", answer: { id: "ask-1", result: { deviceId: ID, nonce: /^[0-9a-f]{64}$/u } } },
    });
    await agent.stop();

    await run("Enrolment by hand");
    await run("Enrolment by hand");
    await run("Revocation");
    await eventually("the broker has the list", async () => {
      const publish = ["-h", "localhost", "-p", String(ports.mqtt), "--insecure", "--cafile", file("root.crt")];
      const own = ["--cert", file("bench-1.crt"), "--key", file("bench-1.key"), "-i", "bench-1"];
      const sent = spawnSync("mosquitto_pub", [...publish, ...own, "-q", "1", "-t", "sallyport/1/bench-1/up/event", "-m", "{}"]);
      return sent.status === 0 ? undefined : true;
    });
    const again = await rig.startAgent();
    await again.line(/life .* -> connected/u);
    t.pass("the list shuts out the revoked certificate only");

    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(file("anna.pub"), publicKey.export({ format: "pem", type: "spki" }));
    const order = {
      v: 1,
      deviceId: v.parse(deviceIdSchema, ID),
      nonce: "ab".repeat(32),
      verb: "update.approve",
      planHash: "cd".repeat(32),
      notAfter: "2026-12-02T00:00:00.000Z",
      reason: "tested",
    } as const;
    const envelope = signOrder(order, privateKey, "anna");
    writeFileSync(file("order.json"), `${JSON.stringify(envelope)}\n`);
    t.match(await run("Orders and other tools"), "Signature Verified Successfully");
    t.equal(walk.left(), 0, "every block of the page was run");
  },
);

/** The line that mosquitto_sub has printed, after what openssl says. */
function lastMessage(output: string): unknown {
  return JSON.parse(output.trimEnd().split("\n").at(-1) ?? "");
}

function stopByPid(pidFile: string): void {
  if (existsSync(pidFile)) process.kill(Number(readFileSync(pidFile, "utf8")));
}
