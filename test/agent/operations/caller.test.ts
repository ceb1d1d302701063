import { test } from "tap";
import * as v from "valibot";
import { principalOf } from "../../../agent/operations/caller.ts";
import { principalSchema } from "../../../agent/operations/format.ts";
import { CONSOLE, HUB, ROOT } from "../../lab/worlds/operations.ts";

test("[OPS-3] [CON-3] the root socket, the console before login and the online hub each have their principal", async (t) => {
  t.match(principalOf(ROOT), {
    id: "local-root",
    roles: ["owner"],
    attributes: { channel: "local" },
    credentials: [{ kind: "socket", reference: "root" }],
  });
  t.match(principalOf(CONSOLE), {
    id: "console",
    roles: ["guest"],
    attributes: { channel: "console" },
    credentials: [{ kind: "none" }],
  });
  t.match(principalOf(HUB), {
    id: "hub",
    roles: ["viewer"],
    attributes: { channel: "tunnel" },
    credentials: [{ kind: "certificate" }],
  });
  for (const caller of [ROOT, CONSOLE, HUB]) t.ok(v.is(principalSchema, principalOf(caller)), "the schema accepts it");
});

test("[CON-4] [OPS-3] a login on the console has the operator's id, key and roles, as the warden reported them", async (t) => {
  const login = { id: "alice@example.net", roles: ["technician", "auditor"], keyid: "ab".repeat(32) } as const;
  const principal = principalOf({ channel: "console", login });
  t.same(principal, {
    id: "alice@example.net",
    roles: ["technician", "auditor"],
    attributes: { channel: "console" },
    credentials: [{ kind: "challenge", reference: "ab".repeat(32) }],
  });
  t.ok(v.is(principalSchema, principal));
  for (const keyid of ["", "AB".repeat(32), `${"ab".repeat(32)}\n`])
    t.throws(() => principalOf({ channel: "console", login: { ...login, keyid } }), { code: "operation.unauthenticated" });
});

test("[OPS-3] an unknown socket has no principal, whatever its name", async (t) => {
  for (const socket of ["", "wheel", "constructor", "__proto__", "toString", "root ", "ROOT"])
    t.throws(() => principalOf({ channel: "local", socket }), { code: "operation.unauthenticated" }, `"${socket}"`);
});

test("[OPS-3] a tunnel without a known certificate of its peer has no principal", async (t) => {
  for (const certificate of [undefined, "", "sha256:", `sha256:${"AB".repeat(32)}`, `sha256:${"ab".repeat(32)}\n`])
    t.throws(() => principalOf({ channel: "tunnel", certificate }), { code: "operation.unauthenticated" });
});
