export { createLink, type Hint, type Link } from "./link.ts";
