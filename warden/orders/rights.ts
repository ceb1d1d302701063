// The rights to give orders, by role. They are data, so that they can be read here instead of being
// inferred from code. [OPS-9]
import type { OperatorRole } from "../roster/format.ts";
import type { OrderVerb } from "./format/index.ts";

const RIGHTS: Readonly<Record<OrderVerb, readonly OperatorRole[]>> = {
  "system.reboot": ["technician", "maintainer", "owner"],
  "update.approve": ["maintainer", "owner"],
  "update.revert": ["maintainer", "owner"],
  "lockdown.confirm": ["security-admin"],
  "lockdown.open": ["security-admin"],
  "lockdown.revert": ["security-admin"],
  "system.wipe": ["owner"],
  "role.grant": ["owner"],
  "key.upgrade": ["security-admin", "owner"],
  "console.login": ["viewer", "technician", "maintainer", "security-admin", "auditor", "owner"],
};

export function mayOrder(roles: readonly OperatorRole[], verb: OrderVerb): boolean {
  return RIGHTS[verb].some((role) => roles.includes(role));
}

export function rolesFor(verb: OrderVerb): readonly OperatorRole[] {
  return RIGHTS[verb];
}
