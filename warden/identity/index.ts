// Who this machine is: chosen from hardware, bound by the birth record. [ID-1] [ID-6]
export { birthBook, type BirthBook } from "./birth.ts";
export { chooseIdentity } from "./choose.ts";
export { settleIdentity } from "./settle.ts";
export { recordBirth, isBirthRecorded } from "./birth-marker.ts";
