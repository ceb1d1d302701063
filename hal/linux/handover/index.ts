export { linuxHandoverReader } from "./reader.ts";
export { linuxHandoverWriter } from "./writer.ts";
export { optionalHandoverReader } from "./optional.ts";
