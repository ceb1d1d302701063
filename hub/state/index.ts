export {
  makeStateDirectory,
  privateFile,
  readStateFile,
  REPOSITORY_DIRECTORY,
  requireStateFile,
  STATE_FILES,
  writeStateFile,
} from "./files.ts";
export { lockState } from "./lock.ts";
export {
  CERTIFICATE_LIFE_MS_DEFAULT,
  CERTIFICATE_LIFE_MS_MIN,
  formatSettings,
  parseSettings,
  type Settings,
  settingsSchema,
} from "./settings.ts";
