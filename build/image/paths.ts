// Where the image builder keeps what it makes once, and what it reads of the project.
import { fileURLToPath } from "node:url";

export const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

export const IMAGE_FOLDER = `${PROJECT}build/image`;

/** Bases of earlier runs: anyone may remove it. */
export const CACHE = `${PROJECT}.parts/gateway`;
