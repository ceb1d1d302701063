export { linuxHandoverReader } from "./reader.ts";
export { linuxHandoverWriter } from "./writer.ts";
export { createOptionalHandoverReader } from "./optional.ts";
