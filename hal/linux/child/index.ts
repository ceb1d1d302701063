export { type ChildOptions, startChild } from "./child.ts";
export { connectChild } from "./connect.ts";
