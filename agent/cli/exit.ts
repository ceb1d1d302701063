// The exit codes of the command, by which a script tells the outcomes apart. Pure.
import type { FaultCode } from "../../hal/fault.ts";

export const EXIT = { ok: 0, fault: 1, usage: 2, unreachable: 3, denied: 4, unverified: 5 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export function exitCodeOf(code: FaultCode): ExitCode {
  switch (code) {
    case "usage.invalid":
      return EXIT.usage;
    case "socket.unreachable":
      return EXIT.unreachable;
    case "socket.denied":
    case "operation.denied":
    case "operation.unauthenticated":
    case "order.bad-signature":
    case "order.denied":
    case "order.expired":
    case "order.replayed":
      return EXIT.denied;
    case "audit.tampered":
    case "note.bad-signature":
    case "note.invalid":
    case "proof.invalid":
      return EXIT.unverified;
    default:
      return EXIT.fault;
  }
}
