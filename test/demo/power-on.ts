// The first power-on: from a board that was never switched on to a tunnel that survives its hub.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, type RunningProgram } from "../lab/runner/process.ts";
import { type HubDevice, hubDevices } from "../lab/worlds/hub-cli-json.ts";
import { plainKeyFiles, readCertificate, readRequest } from "./evidence.ts";
import type { StepReport } from "./narrate.ts";
import { must, statusWhen } from "./proof.ts";
import type { Terminal } from "./terminal.ts";
import type { World } from "./world.ts";

const AWAY_STATUS_READINGS = 5;

export async function bootWarden({ rig, launcher }: World, report: StepReport): Promise<void> {
  await launcher.powerOn("warden");
  const line = await launcher.warden().line(/device "/u);
  const [, id, source] = /device "([^"]+)" \(([a-z]+)\)/u.exec(line) ?? [];
  const read = (name: string): string => readFileSync(join(rig.board.root, "sys/class/dmi/id", name), "utf8").trim();
  must(id === read("product_serial") && source === "serial", `the id is the board's serial: ${line}`);
  report.evidence("DMI", `product_serial "${read("product_serial")}"; board_serial "${read("board_serial")}" is a placeholder`);
  report.evidence("device id", `${id}, from the board's serial`);
  report.evidence(
    "runs as",
    rig.twoUsers ? "root, no IP socket; owns the audit log" : "the same user as the agent (no root here)",
  );
  report.result(`device id ${id}, from the board's serial number; a placeholder serial was rejected`);
}

export async function makeRequest(world: World, report: StepReport): Promise<void> {
  const { rig, tpm, launcher } = world;
  launcher.startAgent();
  const status = await statusWhen(world, "the request", ({ enrolment }) => enrolment?.state === "waiting-for-approval");
  const { key } = status;
  must(
    key !== undefined && key.protection === (tpm === undefined ? "file" : "tpm"),
    `the key is in ${tpm === undefined ? "a file" : "the TPM"}`,
  );
  const plain = plainKeyFiles(rig);
  must(tpm === undefined || plain.length === 0, `no plain private key lies on disk: ${plain.join(", ")}`);
  report.evidence(
    "key",
    tpm === undefined
      ? `P-256 in a 0600 file: ${key.note ?? "as configured"}`
      : "P-256, made in the TPM; a search found no private key file on disk",
  );
  report.evidence("fingerprint", key.fingerprint);
  const request = await readRequest(rig);
  must(request.verified, "openssl verifies the request's signature");
  report.evidence("request", `${request.subject} (openssl req -verify: OK)\n${request.names}`);
  report.evidence("life", status.life);
  report.result(
    tpm === undefined
      ? "P-256 key in a file of mode 0600; openssl verifies the request's signature"
      : "P-256 key made in the TPM, no private key on disk; openssl verifies the request's signature",
  );
}

export async function approve({ rig }: World, terminal: Terminal | undefined, report: StepReport): Promise<HubDevice> {
  const [pending] = (await hubDevices(rig.hub)).filter(({ state }) => state === "pending");
  must(pending !== undefined, "the hub lists the request");
  let shown: string;
  if (terminal === undefined) shown = (await rig.status()).key?.fingerprint ?? "";
  else {
    await terminal.type("\r");
    await terminal.until(/> $/u);
    await terminal.type("status\r");
    shown = /sha256:[0-9a-f]{64}/u.exec(await terminal.until(/trouble[\s\S]*> $/u))?.[0] ?? "";
  }
  must(shown === pending.fingerprint, `the device shows ${shown}, the hub has ${pending.fingerprint}`);
  report.evidence(terminal === undefined ? "on the device" : "serial line", shown);
  report.evidence("at the hub", `${pending.fingerprint} (equal)`);
  await rig.hub.command("devices", "approve", pending.id, pending.fingerprint);
  report.evidence("approved", `sallyport-hub devices approve ${pending.id} ${pending.fingerprint.slice(0, 19)}...`);
  report.result(
    `${pending.fingerprint.slice(0, 23)}... is the same on the ${terminal === undefined ? "device" : "serial line"} and at the hub`,
  );
  return pending;
}

export async function certified(world: World, report: StepReport): Promise<void> {
  await statusWhen(world, "the certificate", ({ certificate }) => certificate !== undefined);
  const certificate = await readCertificate(world.rig);
  must(certificate.signed, "the hub's authority signed it");
  report.evidence("subject", certificate.subject);
  report.evidence("issuer", `${certificate.issuer} (signature checked)`);
  report.evidence("valid until", certificate.notAfter);
  report.result(
    `${certificate.subject.split(",")[0] ?? ""}, valid until ${certificate.notAfter.slice(0, 10)}; its signature was checked`,
  );
}

export async function connected(world: World, id: string, report: StepReport): Promise<void> {
  const { tunnel } = await statusWhen(
    world,
    "the tunnel",
    ({ life, audit }) => life === "connected" && (audit?.witnessedSize ?? 0) > 0,
  );
  must(tunnel.peer === world.rig.hub.name, `the device checked the hub's name: ${tunnel.peer ?? "none"}`);
  report.evidence("device sees", `${tunnel.peer}, ${tunnel.tls}, ${tunnel.cipher}, ${tunnel.group}, MQTT ${tunnel.mqtt}`);
  const connection = await eventually(
    "the hub's view of the connection",
    async () => (await hubDevices(world.rig.hub)).find((device) => device.id === id)?.connection,
  );
  must(connection.group === tunnel.group && connection.protocol === tunnel.tls, "both sides name the same protocol and group");
  report.evidence(
    "hub sees",
    `${id} (certificate ${connection.serial.slice(0, 16)}...), ${connection.protocol}, ${connection.cipher}, ${connection.group}`,
  );
  report.result(`${tunnel.tls}, ${tunnel.group}; device and hub name the same session, each checked the other's certificate`);
}

export async function serialStatus(terminal: Terminal, report: StepReport): Promise<void> {
  await terminal.type("status\r");
  const text = await terminal.until(/trouble[\s\S]*> $/u);
  must(/CONNECTED/u.test(text), `the console says CONNECTED:\n${text}`);
  report.evidence("115200 baud", text.split("\n").slice(1, -1).join("\n").trimEnd());
  report.result("CONNECTED; details that a guest may not see are withheld");
}

export async function killHub(world: World, hub: RunningProgram, report: StepReport): Promise<RunningProgram> {
  const { rig } = world;
  const before = await rig.status();
  await hub.stop("SIGKILL");
  await statusWhen(world, "the device notices", ({ life }) => life === "disconnected");
  for (let asked = 0; asked < AWAY_STATUS_READINGS; asked += 1) await rig.status();
  const away = await rig.status();
  must(
    away.audit !== undefined && before.audit !== undefined && away.audit.size > away.audit.witnessedSize,
    "records wait on the device",
  );
  report.evidence(
    "while away",
    `${away.audit.size - away.audit.witnessedSize} audit records wait on the device, ${away.tunnel.spool.messages} message(s) in the spool`,
  );
  const again = await rig.startHub();
  const { audit, tunnel } = await statusWhen(
    world,
    "everything is at the hub",
    (status) =>
      status.life === "connected" &&
      status.tunnel.spool.messages === 0 &&
      (status.audit?.witnessedSize ?? 0) >= (away.audit?.size ?? 0),
  );
  must(audit?.dropped === 0 && tunnel.spool.dropped === 0, "nothing was dropped, neither records nor messages");
  report.evidence(
    "back",
    `connection ${tunnel.connections}, ${audit?.witnessedSize} records witnessed, spool empty; 0 records and 0 messages dropped`,
  );
  report.result("the device reconnected by itself; no audit record and no message was lost");
  return again;
}
