// The life of a device: blank -> keyed -> requested -> enrolled -> connected <-> disconnected.
// Pure. What survives a reboot (key, certificate) is stored by its owners, so at the start the life
// follows from what they have, never from a separate record that could contradict them.
import type { LIFE_STATES } from "./status/format.ts";

export type LifeState = (typeof LIFE_STATES)[number];

export type LifeEvent =
  | { readonly kind: "key-ready" }
  | { readonly kind: "requested" }
  | { readonly kind: "certificate-ready" }
  | { readonly kind: "connected" }
  | { readonly kind: "disconnected" }
  /**
   * The certificate expired or the hub disowned it: the device enrols again with the same key.
   * [ID-23]
   */
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
