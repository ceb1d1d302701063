// First power-on while the authority gives every kind of bad answer: the status names it, the
// device goes on, and is enrolled when the answers are right. [ID-7] [ID-8]
import type { ServerResponse } from "node:http";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { openSwitchableProxy } from "../lab/counterparts/switchable-proxy.ts";
import { type ReceivedRequest, serveHttps } from "../lab/counterparts/est-server.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { approveOn, birthOf, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

interface Misbehaviour {
  readonly what: string;
  readonly answer: (response: ServerResponse) => void;
  readonly code: string;
  readonly state: "waiting-for-approval" | "retrying" | "denied";
}

const misbehaviours = (authority: string): readonly Misbehaviour[] => [
  {
    what: "202 for ever",
    answer: (response) => response.writeHead(202, { "retry-after": "1" }).end(),
    code: "enrol.pending",
    state: "waiting-for-approval",
  },
  { what: "401", answer: (response) => response.writeHead(401).end("who are you?"), code: "enrol.unauthorized", state: "denied" },
  { what: "403", answer: (response) => response.writeHead(403).end("not you"), code: "enrol.denied", state: "denied" },
  {
    what: "500",
    answer: (response) => response.writeHead(500).end("\u001b[2Jdisk full"),
    code: "enrol.server-error",
    state: "retrying",
  },
  {
    what: "garbage",
    answer: (response) => response.writeHead(200, { "content-type": "application/pkcs7-mime" }).end("%%%not base64%%%"),
    code: "enrol.bad-response",
    state: "retrying",
  },
  {
    what: "no HTTP",
    answer: (response) => response.socket?.end("SSH-2.0-OpenSSH_9\r\n"),
    code: "enrol.bad-response",
    state: "retrying",
  },
  {
    what: "a certificate for another key",
    answer: (response) => response.writeHead(200, { "content-type": "application/pkcs7-mime" }).end(authority),
    code: "enrol.mismatch",
    state: "retrying",
  },
  {
    what: "an answer without end",
    answer: (response) => {
      response.writeHead(200, { "content-type": "application/pkcs7-mime" });
      for (let sent = 0; sent < 40; sent += 1) response.write(Buffer.alloc(65_536, "A"));
    },
    code: "enrol.too-large",
    state: "retrying",
  },
];

test("[ID-7] [ID-8] every answer of the authority is shown in the status and survived", { skip: needs("bundles") }, async (t) => {
  const est = await openSwitchableProxy();
  t.teardown(() => est.close());
  const rig = await buildRig({ agentConfig: { enrolment: { connectTo: { host: "127.0.0.1", port: est.port } } } });
  t.teardown(() => rig.stop());
  const hub = await rig.startHub();
  const inHub = (name: string) => readFile(join(rig.hub.state, name), "utf8");
  const server = { certFile: "", keyFile: "", cert: await inHub("server.pem"), key: await inHub("server.key") };
  const authority = { certFile: "", keyFile: "", cert: await inHub("authority.pem"), key: "" };

  // The hub's own name and certificate: an authority that has gone wrong.
  const now: { answer: Misbehaviour["answer"] } = { answer: (response) => void response.writeHead(503).end() };
  const wrong = await serveHttps(server, authority, (asked: ReceivedRequest, response) => {
    if (asked.path.endsWith("/cacerts")) response.end(authority.cert);
    else if (asked.path.endsWith("/simpleenroll")) now.answer(response);
    else response.writeHead(404).end();
  });
  t.teardown(() => wrong.close());
  est.point(wrong.port);
  await rig.startWarden();

  const keys = new Set<string>();
  const all = misbehaviours(authority.cert);
  for (const { what, answer, code, state } of all) {
    now.answer = answer;
    const agent = await rig.startAgent();
    const { enrolment, key, life } = await untilStatus(
      rig,
      `${code} in the status`,
      (now) => now.enrolment?.lastFault !== undefined,
    );
    t.match(
      { life, enrolment },
      { life: "requested", enrolment: { state, lastFault: { code } } },
      `${what}: ${enrolment?.lastFault?.message ?? ""}`,
    );
    keys.add(key?.fingerprint ?? "");
    t.same(await agent.stop(), { code: 0, signal: null }, `${what} is survived`);
  }

  // No answer at all: there is nothing to report yet, and the device still stops at once.
  now.answer = () => undefined;
  const before = wrong.asked.length;
  const patient = await rig.startAgent();
  await patient.line(/life keyed -> requested/u);
  await eventually("the request is at the authority", async () => (wrong.asked.length > before ? true : undefined));
  t.same(await patient.stop(), { code: 0, signal: null });
  t.notMatch(patient.lines.join("\n"), /enrol\.timeout/u, "a missing answer does not delay the end");

  est.point(rig.hub.ports.est);
  const last = await rig.startAgent();
  keys.add(await approveOn(rig, hub, ID));
  await last.line(/life .* -> connected/u);
  t.same([...keys], [(await birthOf(rig))?.keyFingerprint], "one key throughout");
  t.same(await keysAtHub(rig, ID), [...keys]);
  const trail = await verifiedTrail(rig, ID, ["enrolment.completed", "tunnel.connected"]);
  const codes = trail.filter(({ event }) => event === "enrolment.failed").map(({ detail }) => detail?.["code"]);
  for (const { code } of all) t.ok(codes.includes(code), `${code} is in the trail`);
});
