export { type Verification, verifyLog } from "./verify.ts";
export { createWitness, type Witness, type WitnessAnswer } from "./witness.ts";
