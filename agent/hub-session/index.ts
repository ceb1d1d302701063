export { openHubSession, type UpdateHint, type HubSession } from "./hub-session.ts";
