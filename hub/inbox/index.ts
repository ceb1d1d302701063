export { createInbox, type HubInbox, type InboxOptions, type Received } from "./inbox.ts";
export { encodeMessage } from "./encode.ts";
