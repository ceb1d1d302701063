// The rights in the table of operations: every operation with every role.
import { test } from "tap";
import * as v from "valibot";
import { authorize } from "../../../agent/operations/interceptors.ts";
import { bindOperations } from "../../../agent/operations/bind.ts";
import { operationRequestSchema, OPERATIONS, isOperationName, type Principal } from "../../../agent/operations/format.ts";
import { orderVerbSchema } from "../../../warden/orders/format/index.ts";
import { OPERATOR_ROLES } from "../../../warden/roster/format.ts";
import { CLOCK, CONSOLE, HANDLERS } from "../../lab/worlds/operations.ts";

const ports = { operations: bindOperations(HANDLERS), audit: async () => {}, clock: CLOCK };
const principal = (roles: Principal["roles"]): Principal => ({
  id: "someone",
  roles,
  attributes: { channel: "local" },
  credentials: [],
});
const request = (operation: string) => v.parse(operationRequestSchema, { v: 1, id: "1", operation });

test("[OPS-4] every operation with every role is allowed if and only if the table names the role", async (t) => {
  for (const name of Object.keys(OPERATIONS)) {
    if (!isOperationName(name)) throw t.fail(`"${name}" is not in the table`);
    const roles: readonly string[] = OPERATIONS[name].roles;
    for (const role of OPERATOR_ROLES) {
      const attempt = () => authorize({ caller: CONSOLE, principal: principal([role]), request: request(name) }, ports);
      if (roles.includes(role)) t.equal(attempt().operation?.name, name, `${role} may ask for ${name}`);
      else t.throws(attempt, { code: "operation.denied" }, `${role} may not ask for ${name}`);
    }
    t.throws(() => authorize({ caller: CONSOLE, principal: principal([]), request: request(name) }, ports), {
      code: "operation.denied",
    });
  }
});

test("[OPS-4] [CON-4] order.nonce gives nonces only for verbs that operations carry, and so none for the console login", async (t) => {
  const { args } = OPERATIONS["order.nonce"];
  for (const verb of orderVerbSchema.options) t.equal(v.is(args, { verb }), isOperationName(verb), `order.nonce of ${verb}`);
});

test("[OPS-4] one allowed role is enough", async (t) => {
  const context = authorize(
    { caller: CONSOLE, principal: principal(["guest", "auditor"]), request: request("audit.tail") },
    ports,
  );
  t.equal(context.operation?.name, "audit.tail");
});

test("[OPS-4] the whole table is pinned, so that a new operation or a wider right shows in review", async (t) => {
  const rights = Object.entries(OPERATIONS).map(
    ([name, { roles, changes }]) => `${name} ${changes ? "changes" : "reads"}: ${roles.join(" ")}`,
  );
  t.same(rights, [
    "status reads: guest viewer technician maintainer security-admin auditor owner",
    "identity.show reads: viewer technician maintainer security-admin auditor owner",
    "audit.tail reads: technician maintainer security-admin auditor owner",
    "update.status reads: viewer technician maintainer security-admin auditor owner",
    "update.approve changes: viewer technician maintainer security-admin owner",
    "update.revert changes: viewer technician maintainer security-admin owner",
    "lockdown.show reads: viewer technician maintainer security-admin auditor owner",
    "lockdown.plan reads: technician maintainer security-admin owner",
    "lockdown.enforced reads: viewer technician maintainer security-admin auditor owner",
    "lockdown.confirm changes: viewer technician maintainer security-admin owner",
    "lockdown.revert changes: viewer technician maintainer security-admin owner",
    "system.reboot changes: viewer technician maintainer security-admin owner",
    "key.upgrade changes: viewer technician maintainer security-admin owner",
    "reset.plan reads: viewer technician maintainer security-admin auditor owner",
    "system.wipe changes: viewer technician maintainer security-admin owner",
    "order.nonce reads: viewer technician maintainer security-admin owner",
  ]);
});

test("[OPS-4] names that are not in the table do not exist, including names that objects inherit", async (t) => {
  for (const name of ["", "reboot", "constructor", "__proto__", "toString", "hasOwnProperty", "STATUS", "status ", "audit"]) {
    t.throws(
      () => authorize({ caller: CONSOLE, principal: principal(["owner"]), request: request(name) }, ports),
      { code: "operation.unknown" },
      `"${name}"`,
    );
  }
});
