// Whose share and pace a request counts for: those of the device that has shown its certificate on
// this connection, or else those of the address. So a device that shows it has room of its own,
// also behind one address with others. [TUN-23] [TUN-25]
import type { X509Certificate } from "node:crypto";
import { TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import { identify } from "../devices/index.ts";
import { sourceOf } from "../source.ts";

/** The part of a request that tells where it comes from. */
export interface Requesting {
  readonly ip: string;
  readonly raw: { readonly socket: Socket };
}

/** @param authority the issuer of the devices' certificates. */
export function createRequesterOf(authority: X509Certificate): (request: Requesting) => string {
  const known = new WeakMap<Socket, string>();
  return ({ ip, raw: { socket } }) => {
    const before = known.get(socket);
    if (before !== undefined) return before;
    const shown = identify(shownBy(socket), authority, Date.now());
    // An address has no space in it, and neither has an id.
    const requester = shown.valid ? `device ${shown.deviceId}` : sourceOf(ip);
    known.set(socket, requester);
    return requester;
  };
}

/** @returns the certificate that the peer has shown, whoever issued it. */
export function shownBy(socket: Socket): X509Certificate | undefined {
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
}
