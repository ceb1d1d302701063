export { linuxTpmChip } from "./owner.ts";
