// The warden's real target and update services behind the real protocol, for tests of the agent's
// part in releases. The test decides what lockdown reports.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../../hal/ports.ts";
import type { WardenClient } from "../../../warden/client/index.ts";
import type { LockdownState } from "../../../warden/lockdown/format/index.ts";
import type { VerbHandlers } from "../../../warden/protocol/index.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import type { TestContext } from "../runner/context.ts";
import { UpdateServices } from "./update-services.ts";
import { clientOf, serveVerbs } from "./warden-socket.ts";

export interface UpdatingWarden {
  readonly client: WardenClient;
  /** The verbs that were called, in order. */
  readonly asked: string[];
  /** Where the update is, and what the test makes lockdown say. */
  readonly says: { readonly update: UpdateStatus; lockdown: LockdownState };
  /**
   * What lies in the slot that does not run. A part of one release takes the place of the last
   * one's.
   */
  readonly written: WrittenParts;
  /** Ends what is under way by an operator's order. */
  cancel(operator: string): Promise<void>;
  /** Restarts the services: an update is still under way, and its manifest is wanted again. */
  restart(): Promise<void>;
}

export interface WrittenParts {
  has(part: "root" | "kernel"): boolean;
  /** The part's bytes, in one buffer. */
  get(part: "root" | "kernel"): readonly Buffer[] | undefined;
}

export interface UpdatingWardenOptions {
  /** For its state and the board. */
  readonly directory: string;
  readonly imageRoot: Uint8Array;
  /** Where the agent leaves files. It must exist. */
  readonly handover: string;
  readonly deviceId: string;
  readonly clock: Clock;
  /** Verbs that a test plays itself. */
  readonly over?: Partial<VerbHandlers>;
}

/**
 * A release that is written waits for an order, so that no test reboots the board. Ends with the
 * test.
 */
export async function updatingWarden(t: TestContext, options: UpdatingWardenOptions): Promise<UpdatingWarden> {
  const { directory, imageRoot, handover, deviceId, clock } = options;
  const root = join(directory, "board");
  const settings = { approval: "order" } as const;
  const services = await UpdateServices.open({ directory, root, handover, imageRoot, deviceId, clock, settings });
  t.teardown(() => services.close());
  await services.start();
  /** A verb that is called during a restart waits for its end. */
  let restarted: Promise<unknown> = Promise.resolve();
  const running = async (): Promise<UpdateServices> => {
    await restarted;
    return services;
  };
  const lockdown: { state: LockdownState } = { state: { at: "base" } };
  const handlers: Partial<VerbHandlers> = {
    "trust.refresh": async ({ absent }) => (await running()).targets.refresh(absent),
    "lockdown.read": async () => ({ state: lockdown.state, open: [], usb: [] }),
    "update.read": async (args) => (await running()).updates.verbs["update.read"](args),
    "update.begin": async (args) => (await running()).updates.verbs["update.begin"](args),
    "update.write": async (args) => (await running()).updates.verbs["update.write"](args),
    "update.abandon": async (args) => (await running()).updates.verbs["update.abandon"](args),
    ...options.over,
  };
  const served = await serveVerbs(handlers);
  const inner = clientOf(served.path);
  const asked: string[] = [];
  const client: WardenClient = {
    call: (verb, args) => {
      asked.push(verb);
      return inner.call(verb, args);
    },
    close: () => inner.close(),
  };
  t.teardown(async () => {
    client.close();
    await served.remove();
  });
  return {
    client,
    asked,
    says: {
      get update() {
        return services.updates.status();
      },
      get lockdown() {
        return lockdown.state;
      },
      set lockdown(state) {
        lockdown.state = state;
      },
    },
    written: {
      has: (part) => existsSync(services.slot("b", part)),
      get: (part) => (existsSync(services.slot("b", part)) ? [readFileSync(services.slot("b", part))] : undefined),
    },
    cancel: (by) => services.updates.orders["update.revert"].execute({ by }),
    restart: async () => {
      restarted = services.stop().then(() => services.start());
      await restarted;
    },
  };
}
