// The device identity: chosen from the hardware, and bound by the birth record. [ID-1] [ID-6]
export { createBirthBook, type BirthBook } from "./birth.ts";
export { chooseIdentity } from "./choose.ts";
export { readAdmittedBoard } from "./board.ts";
export { settleIdentity } from "./settle.ts";
export { type BoardWatch, createBoardWatch } from "./watch.ts";
export { createKeyUpgrades, type KeyUpgrades } from "./upgrade.ts";
export { recordBirth, isBirthRecorded } from "./birth-marker.ts";
