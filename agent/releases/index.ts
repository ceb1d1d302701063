// Releases and policies on their way from the repository to the warden.
export type { ReleasePlaces } from "./ports.ts";
export { type Releases, startReleases } from "./releases.ts";
