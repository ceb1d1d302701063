// From how a caller came in to who it is. [OPS-3]
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import type { OperatorRole } from "../../warden/roster/format.ts";
import type { Principal } from "./format.ts";

/** A person at the serial line whose answer to a challenge the warden took. [CON-4] */
export interface ConsoleLogin {
  readonly id: string;
  readonly roles: readonly OperatorRole[];
  /** Of the key that signed the answer. */
  readonly keyid: string;
}

/** Whoever asks, before we know who it is. A channel fills in what it saw, never what the caller says of itself. */
export type Caller =
  | {
      readonly channel: "local";
      /** Which socket the connection came through, by our own name for it; the file system judged who may open it. */
      readonly socket: string;
    }
  | {
      readonly channel: "console";
      /** Who logged in, as the warden answered it; without it a guest. [CON-4] */
      readonly login?: ConsoleLogin | undefined;
    }
  | {
      readonly channel: "tunnel";
      /** SHA-256 fingerprint of the hub's certificate of the connection the request came by; undefined when it is not known. */
      readonly certificate: string | undefined;
    };

/** One socket a caller class: owner and mode of the socket decide who can connect. */
const LOCAL_SOCKETS: Readonly<Record<string, { readonly id: string; readonly role: OperatorRole }>> = {
  root: { id: "local-root", role: "owner" },
};

/**
 * [OPS-3] The principal behind `caller`. The hub's online voice is a viewer: what changes a device needs more than a connection.
 * @throws Fault `operation.unauthenticated` for a socket we do not know, a login without a key and a tunnel whose peer showed no certificate.
 */
export function principalOf(caller: Caller): Principal {
  switch (caller.channel) {
    case "local": {
      const known = Object.hasOwn(LOCAL_SOCKETS, caller.socket) ? LOCAL_SOCKETS[caller.socket] : undefined;
      if (known === undefined)
        throw new Fault("operation.unauthenticated", `no caller class is known for the local socket ${quoted(caller.socket)}`);
      return principal(known.id, [known.role], caller.channel, { kind: "socket", reference: caller.socket });
    }
    case "console": {
      const { login } = caller;
      if (login === undefined) return principal("console", ["guest"], caller.channel, { kind: "none" }); // [CON-3]
      if (!/^[0-9a-f]{64}$/u.test(login.keyid))
        throw new Fault("operation.unauthenticated", `no key is known that ${quoted(login.id)} logged in with`);
      return principal(login.id, login.roles, caller.channel, { kind: "challenge", reference: login.keyid }); // [CON-4]
    }
    case "tunnel":
      if (caller.certificate === undefined || !/^sha256:[0-9a-f]{64}$/u.test(caller.certificate))
        throw new Fault(
          "operation.unauthenticated",
          "the hub of this connection showed no certificate we know the fingerprint of",
        );
      return principal("hub", ["viewer"], caller.channel, { kind: "certificate", reference: caller.certificate });
  }
}

function principal(
  id: string,
  roles: readonly OperatorRole[],
  channel: Caller["channel"],
  credential: Principal["credentials"][number],
): Principal {
  return { id, roles: [...roles], attributes: { channel }, credentials: [credential] };
}
