// A session with the hub whose tunnel leads to a broker of the test, without a warden and without a
// repository.
import * as v from "valibot";
import { parseAgentConfig, parseAnchors } from "../../../agent/config.ts";
import { type HubSession, openHubSession } from "../../../agent/hub-session/index.ts";
import type { Operations } from "../../../agent/operations/index.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AppendFiles, Clock } from "../../../hal/ports.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { anchorsFile, makeSigner } from "../counterparts/hub-signer.ts";
import type { Pki } from "../counterparts/pki.ts";
import { fakeAppendFiles, fakeFiles } from "../fakes/files.ts";
import type { TestContext } from "../runner/context.ts";

export interface LabHubSession {
  readonly pki: Pki;
  readonly port: number;
  readonly operations: Operations;
  readonly notes: AuditEntry[];
  readonly lines: string[];
  readonly clock: Clock;
  readonly spoolFiles?: AppendFiles;
}

/** Stopped with the test. The device is `gw-1`, the CN of the client certificate of `pki`. */
export async function openLabHubSession(
  t: TestContext,
  { pki, port, operations, notes, lines, clock, spoolFiles = fakeAppendFiles() }: LabHubSession,
): Promise<HubSession> {
  const anchors = parseAnchors(anchorsFile(makeSigner("hub", "ed25519"), makeSigner("hub", "cosignature/v1")), "hub.json");
  const config = parseAgentConfig(JSON.stringify({ tunnel: { connectTo: { host: "127.0.0.1", port } } }), "agent.json");
  const stopped = new AbortController();
  const unused = async (): Promise<never> => {
    throw new Fault("protocol.closed", "this test needs no warden and no repository");
  };
  const repository = () => ({ get: unused, close: () => undefined });
  const session = await openHubSession({
    ports: {
      config,
      anchors: { ...anchors, host: "localhost", authority: pki.authority.cert },
      program: "lab",
      files: fakeFiles(),
      spoolFiles,
      clock,
      random: () => 0,
      bootId: async () => undefined,
      log: (line) => lines.push(line),
      releases: { metadata: unused, imageRoot: unused, drop: unused, repository },
    },
    deviceId: v.parse(deviceIdSchema, "gw-1"),
    hub: { ...anchors, port: 9, authority: pki.authority.cert },
    warden: { call: unused, close: () => undefined },
    operations,
    credentials: async () => ({ cert: pki.client.cert, key: pki.client.key }),
    protection: () => undefined,
    note: (entry) => notes.push(entry),
    onEvent: () => undefined,
    onClockSynced: () => undefined,
    onElsewhere: () => undefined,
    signal: stopped.signal,
  });
  t.teardown(async () => {
    stopped.abort();
    await session.stop();
  });
  return session;
}
