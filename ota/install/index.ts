export {
  type ChunkSource,
  type InstallJournal,
  installPart,
  type PartToInstall,
  type InstallProgress,
  readBack,
  writeChunks,
} from "./chunks.ts";
export { createHandoverSource } from "./handover-source.ts";
export { openPartIndex } from "./part-index.ts";
