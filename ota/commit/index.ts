// The life of an update: the pure state machine, its durable record, and what runs the two.
export { isUpdateActive } from "./active.ts";
export { TRIAL_MS_DEFAULT } from "./limits.ts";
export { type Effect, type Event, whyNotAgain } from "./machine.ts";
export { type HealthResult, type Phase, type Release, type RollbackReason, type State } from "./record.ts";
export { createUpdater, discardUpdateState, readUpdateState, UPDATE_FILE, type Updater, type UpdaterOptions } from "./updater.ts";
