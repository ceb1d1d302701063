// The program that writes a slot, sallyport-install. Its protocol is in format.ts.
export { INSTALLER_ENVIRONMENT, INSTALLER_OPTIONS, installerCommand, type InstallerPlaces, installerPlaces } from "./command.ts";
export { install, SILENCE_MS_MAX } from "./installer.ts";
export { readJobs } from "./jobs.ts";
