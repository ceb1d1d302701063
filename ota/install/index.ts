export {
  type ChunkSource,
  type InstallJournal,
  installPart,
  type PartToInstall,
  type Progress,
  readBack,
  writeChunks,
} from "./chunks.ts";
export { courierSource } from "./courier.ts";
export { openPartIndex } from "./part-index.ts";
