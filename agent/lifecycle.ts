// A device's life: blank -> keyed -> requested -> enrolled -> connected <-> disconnected. Pure; what survives a reboot (key, certificate) lies with its owners,
// so at start the life is settled from what they hold, never from a note about it that could disagree.
import type { LIFE_STATES } from "./status/format.ts";

export type LifeState = (typeof LIFE_STATES)[number];

export type LifeEvent =
  | { readonly kind: "key-ready" }
  | { readonly kind: "requested" }
  | { readonly kind: "certificate-ready" }
  | { readonly kind: "connected" }
  | { readonly kind: "disconnected" }
  /** The certificate ran out or the hub disowned it: back to asking, with the same key. [ID-9] */
  | { readonly kind: "certificate-lost" };

const RANK: Readonly<Record<LifeState, number>> = {
  blank: 0,
  keyed: 1,
  requested: 2,
  enrolled: 3,
  connected: 4,
  disconnected: 4,
};

/** @returns the state after `event`; an event that makes no sense here changes nothing. */
export function next(state: LifeState, event: LifeEvent): LifeState {
  switch (event.kind) {
    case "key-ready":
      return RANK[state] < RANK.keyed ? "keyed" : state;
    case "requested":
      return state === "keyed" ? "requested" : state;
    case "certificate-ready":
      return RANK[state] >= RANK.keyed && RANK[state] < RANK.enrolled ? "enrolled" : state;
    case "connected":
      return RANK[state] >= RANK.enrolled ? "connected" : state;
    case "disconnected":
      return state === "connected" ? "disconnected" : state;
    case "certificate-lost":
      return RANK[state] >= RANK.enrolled ? "keyed" : state;
  }
}
