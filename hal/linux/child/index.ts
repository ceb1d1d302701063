export { type ChildOptions, startChild } from "./child.ts";
