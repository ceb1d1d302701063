// One TLS connection as the broker's hooks use it: the client's identity by its certificate, and
// what was negotiated.
import type { TLSSocket } from "node:tls";
import type { DeviceAdmission } from "../devices/index.ts";
import { sessionGroup } from "./tls-session.ts";

export interface ClientConnection {
  readonly admission: DeviceAdmission;
  /** How often all sessions had been judged again when this one was about to be. */
  readonly rechecks: number;
  readonly address: string;
  readonly protocol: string;
  readonly cipher: string;
  /** Known after the client's first bytes: only then is a TLS 1.3 session complete. */
  readonly group: string;
  /** Why this connection was refused or ended; undefined before that. One journal entry each. */
  endReason: string | undefined;
  /** Topics and messages that were refused. */
  refusals: number;
}

export function createClientConnection(socket: TLSSocket, admission: DeviceAdmission, rechecks: number): ClientConnection {
  return {
    admission,
    rechecks,
    address: socket.remoteAddress ?? "?",
    protocol: socket.getProtocol() ?? "?",
    cipher: socket.getCipher().name,
    get group() {
      return sessionGroup(socket.getSession()) ?? "?";
    },
    endReason: undefined,
    refusals: 0,
  };
}
