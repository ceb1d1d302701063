// A tunnel as the agent makes it, over files in memory, with a record of its events.
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import {
  createTunnel,
  openSpool,
  type Spool,
  SPOOL_LIMITS_DEFAULT,
  TIMEOUTS_DEFAULT,
  type Drop,
  type Tunnel,
  type TunnelEvent,
  type TunnelOptions,
} from "../../../agent/tunnel/index.ts";
import { deviceIdSchema } from "../../../hal/format/identity.ts";
import type { AppendFiles, Clock } from "../../../hal/ports.ts";
import { fakeAppendFiles, type FakeFiles, fakeFiles } from "../fakes/files.ts";
import type { Pki } from "../counterparts/pki.ts";
import { eventually } from "../runner/process.ts";
import type { TestContext } from "../runner/context.ts";

export interface LabTunnel {
  readonly tunnel: Tunnel;
  readonly spool: Spool;
  readonly events: readonly TunnelEvent[];
  readonly drops: readonly Drop[];
  readonly files: FakeFiles;
  /** @returns the first event of that kind after `from` others of it. */
  readonly event: <K extends TunnelEvent["kind"]>(kind: K, from?: number) => Promise<Extract<TunnelEvent, { kind: K }>>;
}

export interface LabTunnelOptions {
  readonly pki: Pki;
  readonly port: number;
  readonly spoolFiles?: AppendFiles;
  readonly files?: FakeFiles;
  readonly override?: Partial<TunnelOptions>;
}

/** The wall clock and timers of this machine. */
export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(delayMs, signal) {
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      if (signal?.aborted !== true) throw error;
    });
  },
};

/** Stopped with the test. */
export async function labTunnel(t: TestContext, options: LabTunnelOptions): Promise<LabTunnel> {
  const events: TunnelEvent[] = [];
  const drops: Drop[] = [];
  const { pki } = options;
  const files = options.files ?? fakeFiles();
  const spool = await openSpool({
    files: options.spoolFiles ?? fakeAppendFiles(),
    limits: SPOOL_LIMITS_DEFAULT,
    clock: realClock,
    bootId: undefined,
    clockIsSynced: () => true,
    onDrop: (drop) => drops.push(drop),
    onFault: (fault) => {
      throw fault;
    },
  });
  const tunnel = createTunnel({
    deviceId: v.parse(deviceIdSchema, "gw-1"),
    anchors: { host: "localhost", mqttPort: options.port, authority: pki.authority.cert },
    connectTo: { host: "127.0.0.1", port: options.port },
    alpn: undefined,
    proxy: undefined,
    minTls: "TLSv1.3",
    keepaliveS: 30,
    credentials: async () => ({ cert: pki.client.cert, key: pki.client.key }),
    spool,
    files,
    clock: realClock,
    // The shortest waits that the rules allow.
    random: () => 0,
    timeouts: TIMEOUTS_DEFAULT,
    birth: (facts) => ({ state: "online", mqtt: facts.mqtt, group: facts.group }),
    onEvent: (event) => events.push(event),
    ...options.override,
  });
  t.teardown(async () => {
    await tunnel.stop();
    await spool.close();
  });
  const isKind = <K extends TunnelEvent["kind"]>(event: TunnelEvent, kind: K): event is Extract<TunnelEvent, { kind: K }> =>
    event.kind === kind;
  return {
    tunnel,
    spool,
    events,
    drops,
    files,
    event: (kind, from = 0) =>
      eventually(`tunnel event "${kind}"`, async () => events.filter((event) => isKind(event, kind))[from]),
  };
}
