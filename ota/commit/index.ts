// The life of an update: the pure state machine, its durable record, and what runs the two.
export { isUpdateActive } from "./active.ts";
export { TRIAL_MS_DEFAULT } from "./limits.ts";
export { type Effect, type Event, whyNotAgain } from "./machine.ts";
export type { HealthResult, Phase, Release, RollbackReason, State } from "./record.ts";
export { openUpdater, type Updater, type UpdaterPorts } from "./updater.ts";
