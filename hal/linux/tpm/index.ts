// TPM 2.0 by its own commands, written from TCG's Library specification: no native add-on and no
// other program. What is loaded is given back with `await using`.
export { type Attestation, certify, quote, readAttestation, type SignedAttestation } from "./attest.ts";
export {
  clearControl,
  dictionaryAttackLockReset,
  dictionaryAttackParameters,
  getCapability,
  getRandom,
  handlesFrom,
  hierarchyChangeAuth,
  lockoutState,
  ownership,
  property,
  selfTest,
  shutdown,
  startup,
} from "./chip.ts";
export { ALG, FIRST_HANDLE, HANDLE, NV, OBJECT, PERSISTENT, PROPERTY } from "./constants.ts";
export { nvDefineSpace, nvIncrement, nvRead, nvReadPublic, nvUndefineSpace, nvWrite } from "./nv.ts";
export {
  activateCredential,
  ATTESTATION_TEMPLATE,
  create,
  createPrimary,
  ENDORSEMENT_TEMPLATE,
  evictControl,
  type KeyBlob,
  load,
  type LoadedObject,
  loadExternal,
  p1363,
  permanent,
  publicKeyObject,
  readPublicOf,
  RSA_STORAGE_TEMPLATE,
  sealTemplate,
  sign,
  SIGNING_TEMPLATE,
  STORAGE_TEMPLATE,
  unseal,
} from "./objects.ts";
export { openTpmAt, useTpm, wayOf } from "./open.ts";
export { pcrExtend, pcrRead } from "./pcr.ts";
export { readTss2Pem, type Tss2Key, writeTss2Pem } from "./pem.ts";
export { type Authorization, NO_PASSWORD, type TpmEntity, type TpmSession } from "./session.ts";
export { policyAuthorize, policyGetDigest, policyPcr, policySecret, startSession, verifySignature } from "./sessions.ts";
export { nameOf, type PublicArea } from "./structures.ts";
export { Tpm } from "./tpm.ts";
export { connectSimulator, openTpmDevice } from "./transport.ts";
