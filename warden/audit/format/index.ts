// What readers of the audit trail need, the hub's witness included: records, tree, notes and files.
// Pure.
export * from "./events.ts";
export * from "./record.ts";
export * from "./tree.ts";
export * from "./note.ts";
export * from "./files.ts";
export * from "./frame.ts";
export * from "./segment.ts";
export * from "./walk.ts";
export * from "./trail.ts";
export * from "./delivery.ts";
export * from "./head.ts";
