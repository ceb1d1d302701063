export { type Floors, openFloors } from "./floors.ts";
export { type FloorCommit, type FloorRecord, floorsOf } from "./record.ts";
