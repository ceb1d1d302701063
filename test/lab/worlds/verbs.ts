// Handlers of the warden's verbs for tests of the protocol: a few answer, the others report that no
// test expects them.
import { Fault } from "../../../hal/fault.ts";
import type { VerbHandlers } from "../../../warden/protocol/index.ts";

export const NONCE = "5a".repeat(32);

const unexpected = (verb: string) => async (): Promise<never> => {
  throw new Fault("assert.broken", `no test asks "${verb}"`);
};

export const VERBS: VerbHandlers = {
  hello: async () => ({ protocol: 1, program: "warden", bootId: "b" }),
  "identity.read": unexpected("identity.read"),
  "birth.record": unexpected("birth.record"),
  "birth.replace": unexpected("birth.replace"),
  "key.offer": unexpected("key.offer"),
  "audit.append": async () => ({ seq: 7 }),
  "audit.read": unexpected("audit.read"),
  "audit.checkpoint": unexpected("audit.checkpoint"),
  "audit.cosigned": unexpected("audit.cosigned"),
  "status.read": unexpected("status.read"),
  "tpm.read": unexpected("tpm.read"),
  "time.nonce": async () => ({ nonce: NONCE }),
  "time.set": unexpected("time.set"),
  "trust.refresh": unexpected("trust.refresh"),
  "lockdown.read": unexpected("lockdown.read"),
  "lockdown.preview": unexpected("lockdown.preview"),
  "lockdown.enforced": unexpected("lockdown.enforced"),
  "lockdown.propose": unexpected("lockdown.propose"),
  "order.nonce": unexpected("order.nonce"),
  "order.submit": unexpected("order.submit"),
  "order.signer": unexpected("order.signer"),
  "tpm.escrow": unexpected("tpm.escrow"),
  "tpm.escrowed": unexpected("tpm.escrowed"),
  "reset.plan": unexpected("reset.plan"),
  "update.read": unexpected("update.read"),
  "update.begin": unexpected("update.begin"),
  "update.write": unexpected("update.write"),
  "update.abandon": unexpected("update.abandon"),
};
