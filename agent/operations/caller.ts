// Authentication: from the channel of a caller to its principal. [OPS-3]
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import type { OperatorRole } from "../../warden/roster/format.ts";
import type { Principal } from "./format.ts";

/** A person at the serial line whose answer to a challenge the warden accepted. [CON-4] */
export interface ConsoleLogin {
  readonly id: string;
  readonly roles: readonly OperatorRole[];
  /** Id of the key that signed the answer. */
  readonly keyid: string;
}

/**
 * The caller before authentication. Each channel states what it knows of the connection, never what
 * the caller claims.
 */
export type Caller =
  | {
      readonly channel: "local";
      /**
       * The agent's own name of the socket through which the connection came. File permissions
       * decide who can open it.
       */
      readonly socket: string;
    }
  | {
      readonly channel: "console";
      /** The login that the warden confirmed; without it the caller is a guest. [CON-4] */
      readonly login?: ConsoleLogin | undefined;
    }
  | {
      readonly channel: "tunnel";
      /**
       * SHA-256 fingerprint of the hub's certificate on the connection of the request; undefined
       * when it is not known.
       */
      readonly certificate: string | undefined;
    };

/** One socket for each class of callers. The owner and mode of a socket decide who can connect. */
const LOCAL_SOCKETS: Readonly<Record<string, { readonly id: string; readonly role: OperatorRole }>> = {
  root: { id: "local-root", role: "owner" },
};

/**
 * [OPS-3]
 * @returns the principal of `caller`. The online hub is a viewer, because a connection alone must
 *   not change a device.
 * @throws Fault `operation.unauthenticated` for an unknown socket, a login without a key, and a
 *   tunnel whose peer has no known certificate.
 */
export function principalOf(caller: Caller): Principal {
  switch (caller.channel) {
    case "local": {
      const known = Object.hasOwn(LOCAL_SOCKETS, caller.socket) ? LOCAL_SOCKETS[caller.socket] : undefined;
      if (known === undefined)
        throw new Fault("operation.unauthenticated", `the local socket ${quoted(caller.socket)} has no class of callers`);
      return principal(known.id, [known.role], caller.channel, { kind: "socket", reference: caller.socket });
    }
    case "console": {
      const { login } = caller;
      // [CON-3]
      if (login === undefined) return principal("console", ["guest"], caller.channel, { kind: "none" });
      if (!/^[0-9a-f]{64}$/u.test(login.keyid))
        throw new Fault("operation.unauthenticated", `the key with which ${quoted(login.id)} logged in is not known`);
      // [CON-4]
      return principal(login.id, login.roles, caller.channel, { kind: "challenge", reference: login.keyid });
    }
    case "tunnel":
      if (caller.certificate === undefined || !/^sha256:[0-9a-f]{64}$/u.test(caller.certificate))
        throw new Fault("operation.unauthenticated", "the fingerprint of the hub's certificate on this connection is not known");
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
