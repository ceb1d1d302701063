export { type HubSession, type HubSessionOptions, openHubSession } from "./hub-session.ts";
