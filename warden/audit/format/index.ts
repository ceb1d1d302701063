// What a reader of the audit trail needs, the hub's witness included: records, tree, notes. Pure.
export * from "./events.ts";
export * from "./record.ts";
export * from "./tree.ts";
export * from "./note.ts";
