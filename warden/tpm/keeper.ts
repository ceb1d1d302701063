// The escrow as the keeper of the passwords: what of the record is sealed. [ID-54]
import type { Escrow } from "../escrow/index.ts";
import type { PasswordKeeper } from "./ownership.ts";

export function createPasswordKeeper(escrow: Pick<Escrow, "keep" | "drop" | "state">): PasswordKeeper {
  return {
    keep: async ({ passwords, storage, storageKey, endorsement, made, before }) => {
      if (storage === undefined) return;
      await escrow.keep({
        storage,
        ...(storageKey === undefined ? {} : { storageKey }),
        ...(endorsement === undefined ? {} : { endorsement }),
        passwords,
        made,
        before,
      });
    },
    drop: () => escrow.drop(),
    whyNotEscrowed: () => {
      const state = escrow.state();
      if (state.state === "none") return state.why;
      return state.escrowed ? undefined : "the hub has not confirmed yet that it has them";
    },
  };
}
