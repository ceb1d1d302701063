import { test } from "tap";
import * as v from "valibot";
import { principalOf } from "../../../agent/operations/caller.ts";
import { principalSchema } from "../../../agent/operations/format.ts";
import { CONSOLE, HUB, ROOT } from "../../lab/worlds/operations.ts";

test("[OPS-3] [CON-3] each way in has its principal: the root socket, the console before login, the hub's online voice", async (t) => {
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
  for (const caller of [ROOT, CONSOLE, HUB]) t.ok(v.is(principalSchema, principalOf(caller)), "is a principal by the schema");
});

test("[CON-4] [OPS-3] who logged in on the console is the operator with the key, with the roles the warden named", async (t) => {
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

test("[OPS-3] a socket we do not know is nobody, whatever it is called", async (t) => {
  for (const socket of ["", "wheel", "constructor", "__proto__", "toString", "root ", "ROOT"])
    t.throws(() => principalOf({ channel: "local", socket }), { code: "operation.unauthenticated" }, `"${socket}"`);
});

test("[OPS-3] a tunnel whose peer's certificate is not known is nobody", async (t) => {
  for (const certificate of [undefined, "", "sha256:", `sha256:${"AB".repeat(32)}`, `sha256:${"ab".repeat(32)}\n`])
    t.throws(() => principalOf({ channel: "tunnel", certificate }), { code: "operation.unauthenticated" });
});
