export { type Floors, FLOORS_FILE, openFloors } from "./floors.ts";
export { type FloorCommit, type FloorRecord, floorsOf } from "./record.ts";
