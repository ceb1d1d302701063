// The services that one console session uses.
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import type { Operations } from "../operations/index.ts";
import type { OrderPorts } from "./challenge.ts";
import type { LoginThrottle } from "./login-throttle.ts";
import type { Host } from "./screen.ts";
import type { TimedReader } from "./timed-reader.ts";

export interface ConsoleSessionOptions {
  readonly reader: TimedReader;
  /** Prints; a newline is sent as CR LF. @throws Fault `serial.closed`. */
  readonly print: (text: string) => Promise<void>;
  readonly operations: Operations;
  readonly orders: OrderPorts;
  /** Shared by all sessions, because refused answers count beyond the end of a session. [CON-5] */
  readonly throttle: LoginThrottle;
  /** Never throws: the owner of this function reports a record that fails. */
  readonly record: (entry: AuditEntry) => Promise<void>;
  readonly clock: Clock;
  readonly host: () => Host;
  /** What the banner warns of. [ID-73] */
  readonly alarm?: () => string | undefined;
}
