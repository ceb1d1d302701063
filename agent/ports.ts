// The ports of the agent: the machine and the outside world, connected by main.ts.
import type { DamageLog } from "../hal/damaged-files.ts";
import type { Duplex } from "node:stream";
import type { BirthRecord } from "../hal/format/identity.ts";
import type { AppendFiles, Clock, DurableFiles, ListenUnix, SerialPort, Vitals } from "../hal/ports.ts";
import type { HubAnchors } from "../ota/format/anchors.ts";
import type { AgentConfig } from "./config.ts";
import type { AgentUpgradeKeys, SettledKey } from "./identity/index.ts";
import type { ReleasePlaces } from "./releases/index.ts";

export interface AgentPorts {
  readonly config: AgentConfig;
  readonly anchors: HubAnchors;
  /** Name and version, such as `sallyport-agent/0.1.0`. */
  readonly program: string;
  readonly files: DurableFiles;
  /** What was found wrong with state, for status and trail. [STA-4] [STA-13] */
  readonly damage: DamageLog;
  readonly spoolFiles: AppendFiles;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly vitals: Vitals;
  /** For the local socket. */
  readonly listen: ListenUnix;
  /** Opens a new stream to the warden's socket. */
  readonly connectWarden: () => Promise<Duplex>;
  readonly settleKey: (birth: BirthRecord | undefined) => Promise<SettledKey>;
  readonly upgradeKeys: AgentUpgradeKeys;
  /** The port of the serial console; undefined when no console is configured. */
  readonly serial: SerialPort | undefined;
  /** The kernel's id of this boot; undefined when it cannot be read. */
  readonly bootId: () => Promise<string | undefined>;
  /** Where releases come from, and where they are left for the warden. */
  readonly releases: ReleasePlaces;
  /** Writes one line to the journal. */
  readonly log: (line: string) => void;
}
