// A real warden as a process on a simulated board, and what an auditor can check of it from
// outside.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../../../hal/fault.ts";
import {
  type AuditRecord,
  decodeAuditRecord,
  decodeCheckpoint,
  decodeNote,
  decodeVerifier,
  leafHash,
  rootOf,
  verifyNote,
} from "../../../warden/audit/format/index.ts";
import type { WardenClient } from "../../../warden/client/index.ts";
import { AUDIT_READ_RECORDS_MAX } from "../../../warden/protocol/format.ts";
import { type Board, buildBoard } from "./board.ts";
import { anchorsFile, makeSigner, type Signer } from "../counterparts/hub-signer.ts";
import { type RunningProgram, startProgram } from "../runner/process.ts";
import { clientOf } from "./warden-socket.ts";
import { programFile } from "../runner/programs.ts";

export const WARDEN_MAIN = programFile("sallyport-warden");

export interface LabWarden {
  readonly board: Board;
  readonly socket: string;
  readonly configFile: string;
  /** The hub's keys that the board's image trusts. */
  readonly hub: { readonly time: Signer; readonly witness: Signer };
  /** Starts the warden and waits until it listens. */
  start(): Promise<RunningProgram>;
  /**
   * Starts it and returns at once.
   * @param before words before the command, for instance `unshare -m sh -c ...`.
   * @param options of Node.
   */
  launch(before?: readonly string[], options?: readonly string[]): RunningProgram;
  client(): WardenClient;
}

export interface LabWardenOptions {
  readonly serial?: string;
  readonly mac?: string;
  /**
   * Members that replace those of the lab's configuration. A function gets the board's directory of
   * configuration files, for members that name files there.
   */
  readonly config?: Readonly<Record<string, unknown>> | ((etc: string) => Readonly<Record<string, unknown>>);
}

/** What tears a lab warden down: a test, or a measure of the bench. */
export interface LabWardenContext {
  teardown(act: () => Promise<void> | void): void;
}

/**
 * A board with its configuration and anchors; nothing is started yet. Everything ends with the
 * test.
 */
export async function labWarden(t: LabWardenContext, options: LabWardenOptions = {}): Promise<LabWarden> {
  const directory = await mkdtemp(join(tmpdir(), "sallyport-warden-"));
  const board = await buildBoard({ directory, serial: options.serial ?? "GW-4711", mac: options.mac ?? "00:1b:21:0a:00:10" });
  const hub = { time: makeSigner("hub.example/time", "ed25519"), witness: makeSigner("hub.example/witness", "cosignature/v1") };
  const anchors = join(board.etc, "hub.json");
  await writeFile(anchors, anchorsFile(hub.time, hub.witness), { mode: 0o644 });
  const socket = join(board.run, "warden.sock");
  const configFile = join(board.etc, "warden.json");
  const config = {
    stateDirectory: board.wardenState,
    birthDirectory: board.birth,
    boardRoot: board.root,
    buildDate: "2026-01-01",
    setClock: false,
    socket,
    anchors,
    ...(typeof options.config === "function" ? options.config(board.etc) : options.config),
  };
  await writeFile(configFile, JSON.stringify(config), { mode: 0o644 });
  const running: RunningProgram[] = [];
  const clients: WardenClient[] = [];
  t.teardown(async () => {
    for (const client of clients) client.close();
    for (const program of running) await program.stop("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  });
  const launch = (before: readonly string[] = [], nodeOptions: readonly string[] = []): RunningProgram => {
    const [command, ...args] = [...before, process.execPath, ...nodeOptions, WARDEN_MAIN, "--config", configFile];
    const program = startProgram({ name: "warden", command, args });
    running.push(program);
    return program;
  };
  return {
    board,
    socket,
    configFile,
    hub,
    launch,
    start: async () => {
      const program = launch();
      await program.line(/listening on/u);
      return program;
    },
    client: () => {
      const client = clientOf(socket);
      clients.push(client);
      return client;
    },
  };
}

/**
 * Reads the whole log through the agent's socket and checks it as an auditor would: every record
 * decodes and has its place, and a checkpoint that the audit key signed has the root of these
 * records.
 * @throws Fault of the first check that fails.
 */
export async function verifiedLog(client: WardenClient): Promise<readonly AuditRecord[]> {
  const { auditKey, identity } = await client.call("identity.read", {});
  const { size, checkpoint } = await client.call("audit.checkpoint", { oldSize: 0 });
  const note = decodeNote(checkpoint);
  verifyNote(note, decodeVerifier(auditKey));
  const signed = decodeCheckpoint(note.text);
  const records = await readAll(client, size);
  const root = rootOf(records.map((record) => leafHash(record)));
  if (signed.size !== records.length || !Buffer.from(root).equals(signed.root))
    throw new Fault(
      "audit.tampered",
      `the checkpoint is of ${signed.size} records of another content than the ${records.length} read`,
    );
  if (signed.origin !== `sallyport/1/${identity.id}`) throw new Fault("note.invalid", `the log is called "${signed.origin}"`);
  return records.map((bytes, at) => {
    const record = decodeAuditRecord(bytes);
    if (record.seq !== at) throw new Fault("audit.tampered", `record ${at} says that it is ${record.seq}`);
    return record;
  });
}

async function readAll(client: WardenClient, size: number): Promise<readonly Uint8Array[]> {
  const all: Uint8Array[] = [];
  while (all.length < size) {
    const { records } = await client.call("audit.read", {
      from: all.length,
      count: Math.min(AUDIT_READ_RECORDS_MAX, size - all.length),
    });
    if (records.length === 0) throw new Fault("audit.tampered", `the log of ${size} records ends at ${all.length}`);
    all.push(...records.map((record) => Buffer.from(record, "base64")));
  }
  return all;
}

/**
 * Waits for the end of a warden that must refuse to start.
 * @returns its exit code and its output.
 */
export async function outcomeOf(program: RunningProgram): Promise<{ readonly code: number | null; readonly text: string }> {
  const { code } = await program.ended;
  return { code, text: program.lines.join("\n") };
}
