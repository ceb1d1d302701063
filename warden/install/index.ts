// The program that writes a slot: sallyport-install. Its wire is in format.ts.
export { INSTALLER_ENVIRONMENT, INSTALLER_OPTIONS, installerCommand, type InstallerPlaces, installerPlaces } from "./command.ts";
export { install } from "./installer.ts";
export { SILENCE_MS_MAX } from "./limits.ts";
export { readJobs } from "./jobs.ts";
