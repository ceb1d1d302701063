// Paths of the image builder: the project and the cache.
import { fileURLToPath } from "node:url";

export const PROJECT = fileURLToPath(new URL("../../", import.meta.url));

export const IMAGE_FOLDER = `${PROJECT}build/image`;

/** Bases of earlier runs. It may be removed at any time. */
export const CACHE = `${PROJECT}.parts/gateway`;
