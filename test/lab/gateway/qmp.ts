// QEMU's machine protocol: one JSON object a line, events between answers.
// https://www.qemu.org/docs/master/interop/qmp-spec.html
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";

export type QmpValue = string | number | boolean | readonly QmpValue[] | { readonly [name: string]: QmpValue | undefined };

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Qmp {
  /**
   * @returns the result of the command.
   * @throws Fault `process.failed` with QEMU's message when it refuses; `protocol.closed` when it
   * ends.
   */
  execute(command: string, args?: { readonly [name: string]: QmpValue | undefined }): Promise<unknown>;
  /**
   * Resolves with the next event of that name that `wanted` accepts.
   * @throws Fault `process.timeout`, `protocol.closed`.
   */
  event(name: string, timeoutMs: number, wanted?: (event: QmpEvent) => boolean): Promise<QmpEvent>;
}

const messageSchema = v.looseObject({
  QMP: v.optional(v.unknown()),
  id: v.optional(v.number()),
  event: v.optional(v.string()),
  data: v.optional(v.record(v.string(), v.unknown())),
  return: v.optional(v.unknown()),
  error: v.optional(v.looseObject({ desc: v.string() })),
});
type Message = v.InferOutput<typeof messageSchema>;

/** Speaks on a socket that QEMU has just opened. Resolves when commands are accepted. */
export async function openQmp(socket: Socket): Promise<Qmp> {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(fault: Fault): void }>();
  const listeners = new Set<(event: QmpEvent) => void>();
  const endings = new Set<() => void>();
  let asked = 0;

  const answer = (id: number, { error, return: value }: Message): void => {
    const asker = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asker?.resolve(value);
    else asker?.reject(new Fault("process.failed", `QEMU refused: ${error.desc}`));
  };
  const greeted = new Promise<void>((resolve) => {
    const lines = createInterface({ input: socket });
    // The reader passes on the socket's error: QEMU was killed in the middle of a line, and the
    // close that follows ends the connection.
    lines.on("error", () => undefined);
    lines.on("line", (line) => {
      const message = v.parse(messageSchema, JSON.parse(line));
      if (message.QMP !== undefined) resolve();
      else if (message.event !== undefined)
        for (const listener of listeners) listener({ event: message.event, data: message.data ?? {} });
      else if (message.id !== undefined) answer(message.id, message);
    });
  });
  socket.on("close", () => {
    for (const asker of waiting.values()) asker.reject(closed());
    waiting.clear();
    for (const end of endings) end();
  });

  const execute: Qmp["execute"] = async (command, args = {}) => {
    if (socket.destroyed) throw closed();
    const id = (asked += 1);
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  };
  await greeted;
  await execute("qmp_capabilities");
  return {
    execute,
    event: (name, timeoutMs, wanted = () => true) =>
      new Promise((resolve, reject) => {
        const finish = (act: () => void): void => {
          clearTimeout(timer);
          listeners.delete(listener);
          endings.delete(ended);
          act();
        };
        const listener = (event: QmpEvent): void => {
          if (event.event === name && wanted(event)) finish(() => resolve(event));
        };
        const ended = (): void => finish(() => reject(closed()));
        const late = (): void =>
          finish(() => reject(new Fault("process.timeout", `QEMU reported no ${name} within ${timeoutMs} ms`)));
        const timer = setTimeout(late, timeoutMs);
        listeners.add(listener);
        endings.add(ended);
      }),
  };
}

function closed(): Fault {
  return new Fault("protocol.closed", "QEMU has ended");
}
