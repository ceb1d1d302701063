// The status of the device at one moment, gathered from the warden, the kernel and the agent
// itself. A status is needed most when something is broken, so a source that fails is shown with
// its fault.
import { endingPins } from "./ending-pins.ts";
import type { AgentPorts } from "./ports.ts";
import type { LifeState } from "./lifecycle.ts";
import type { HubSession } from "./hub-session/index.ts";
import type { IdentityManager } from "./identity/index.ts";
import { composeDeviceStatus, type ReadResult } from "./status/index.ts";
import type { DeviceStatus, TunnelStatus } from "./status/format.ts";
import { asFault, type Fault } from "../hal/fault.ts";
import type { FaultReport } from "../hal/format/fault.ts";
import type { WardenClient } from "../warden/client/index.ts";
import type { WardenResult } from "../warden/protocol/format.ts";

/** What the agent knows without asking anybody. */
export interface AgentState {
  readonly life: LifeState;
  readonly identity: ReturnType<IdentityManager["status"]>;
  /** Undefined until the identity is known. */
  readonly session: HubSession | undefined;
  /** The hub has let in a board that is not that of the birth. [ID-97] */
  readonly isLetIn: boolean;
  /** Of the agent's services that are not part of the identity or the session. */
  readonly faults: readonly FaultReport[];
}

const NO_TUNNEL: TunnelStatus = { state: "idle", connections: 0, spool: { messages: 0, bytes: 0, dropped: 0 } };

/** @param state read after the warden has answered, so that it is as new as the answer. */
export async function readDeviceStatus(
  ports: Pick<AgentPorts, "program" | "clock" | "vitals" | "anchors"> & { readonly warden: Pick<WardenClient, "call"> },
  state: () => AgentState,
): Promise<DeviceStatus> {
  const [warden, vitals] = await Promise.all([
    readResult(ports.warden.call("status.read", {}), "protocol.closed"),
    readResult(ports.vitals.read(), "file.read-failed"),
  ]);
  const { life, identity, session, faults, isLetIn } = state();
  if ("value" in warden) session?.time.observe(warden.value.clock);
  return composeDeviceStatus({
    program: ports.program,
    nowMs: ports.clock.nowMs(),
    life,
    ...identity,
    tunnel: session?.tunnelStatus() ?? NO_TUNNEL,
    warden: isLetIn && "value" in warden ? { value: withLetIn(warden.value) } : warden,
    without: withoutOf(ports.anchors),
    vitals,
    faults: [
      ...identity.faults,
      ...faults,
      ...(session?.faults() ?? []).map(reportOf),
      ...endingPins(ports.anchors, "value" in warden ? warden.value.clock : undefined),
    ],
  });
}

/** [ID-97] The warden judges the board and does not hear what the hub decides about it. */
function withLetIn({ troubles = [], ...rest }: WardenResult<"status.read">): WardenResult<"status.read"> {
  const message =
    "the disk is in another board than that of its birth, and the hub's operator has let this one in; nothing is to be done";
  return {
    ...rest,
    troubles: troubles.map((each) => (each.code === "identity.other-board" ? { code: "identity.changed", message } : each)),
  };
}

function withoutOf({ timeKey, witnessKey }: AgentPorts["anchors"]): NonNullable<DeviceStatus["without"]> {
  return [...(timeKey === null ? ["time" as const] : []), ...(witnessKey === null ? ["witness" as const] : [])];
}

async function readResult<T>(reading: Promise<T>, code: "protocol.closed" | "file.read-failed"): Promise<ReadResult<T>> {
  try {
    return { value: await reading };
  } catch (error) {
    return { fault: reportOf(asFault(error, code, "read the status")) };
  }
}

function reportOf({ code, message }: Fault): FaultReport {
  return { code, message };
}
