// One TLS connection as the broker's hooks see it: who it is, by certificate, and what was negotiated.
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { DeviceAdmission } from "../devices/index.ts";
import { sessionGroup } from "./tls-session.ts";

export interface ClientConnection {
  readonly certificate: X509Certificate | undefined;
  readonly admission: DeviceAdmission;
  readonly address: string;
  readonly protocol: string;
  readonly cipher: string;
  /** Known once the client's first bytes are in: a TLS 1.3 session is complete only then. */
  readonly group: string;
  /** Why this connection was refused or ended, once it was: one journal entry each. */
  ended: string | undefined;
}

export function clientConnectionOf(
  socket: TLSSocket,
  judge: (certificate: X509Certificate | undefined) => DeviceAdmission,
): ClientConnection {
  const certificate = socket.getPeerX509Certificate();
  return {
    certificate,
    admission: judge(certificate),
    address: socket.remoteAddress ?? "?",
    protocol: socket.getProtocol() ?? "?",
    cipher: socket.getCipher().name,
    get group() {
      return sessionGroup(socket.getSession()) ?? "?";
    },
    ended: undefined,
  };
}
