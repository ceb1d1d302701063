// The usage text of the command, and the fault of a wrong use. Pure.
import { wrap } from "../../hal/format/prose.ts";
import { Fault } from "../../hal/fault.ts";
import { carriedVerbSchema } from "../operations/format.ts";

export const DEFAULT_SOCKET = "/run/sallyport-agent/root.sock";

export const USAGE = `usage: sallyport [--socket PATH] [--json] status
       sallyport [--socket PATH] [--json] audit tail [-n N]
       sallyport [--socket PATH] [--json] identity show
       sallyport [--socket PATH] [--json] update status | lockdown show | lockdown plan FILE |
                 wipe plan
       sallyport [--socket PATH] [--json] update approve | update revert | reboot | wipe |
                 lockdown confirm | lockdown revert | key upgrade
                 [--challenge CHALLENGE --answer ANSWER]
       sallyport [--socket PATH] [--json] order nonce VERB
       sallyport [--json] audit verify DIR --key VKEY [--witness VKEY] [--checkpoint FILE]...
                 [--epoch N]
       sallyport [--json] tpm passwords FILE --key KEY [--out RECORD]
       sallyport --help | --version

Queries the agent of this machine, or works on files without it.

  status            the state of this device
  identity show     the key, what keeps it and on which TPM, the certificate; exit code 1 if the key
                    cannot be used, or if not everything is known
  audit tail        the newest records of the audit trail; 10 by default
  update status     the progress of an update
  update approve    try a release that is written, or admit one again that was rolled back *
  update revert     stop an update that is under way; leaves a system on trial by a reboot *
  lockdown show     the open ports, and the USB devices with the decision about each
  lockdown plan     what the policy in FILE would change here; exit code 1 if it would be refused
  lockdown confirm  keep the policy that is on trial *
  lockdown revert   withdraw the policy that is on trial *
  reboot            restart this device *
  key upgrade       make a stronger key, in the TPM, and get a certificate for it *
  wipe plan         what a factory reset would destroy and keep
  wipe              reset this device as from the factory; its owner signs what "wipe plan" prints *
  order nonce       a challenge for VERB, which is one of
${wrap(`                    ${carriedVerbSchema.options.join(", ")}`)}
  audit verify      check an audit log offline; DIR is the warden's state directory or a copy of it,
                    VKEY a verifier key as "sallyport-hub audit verify ID --json" prints it
  tpm passwords     open, offline, what "sallyport-hub devices escrow" printed into FILE

* needs an order: shows a challenge and reads its answer from standard input. The answer is the line
  that "sallyport-hub answer" prints where the operator's key is. Being root here is not enough.

  --socket PATH       the agent's socket; ${DEFAULT_SOCKET} by default
  --json              one line of JSON instead of text
  --challenge C       a challenge from "order nonce" that was answered already
  --answer A          its answer
  --key VKEY          the device's audit key: take it from the hub, not from the device
  --key KEY           for tpm passwords: the file with the owner's private key
  --out RECORD        write a record that gives the passwords back to the device; prints none
  --witness VKEY      the hub's witness key: the log must contain what it cosigned
  --checkpoint FILE   another signed checkpoint that the log must contain; may be repeated
  --epoch N           the log to verify if there are several; the last by default

Exit codes: 0 ok, 1 fault, 2 usage, 3 agent unreachable, 4 denied, 5 verification failed.
`;

/** @returns the fault `usage.invalid`, which also names the help option. */
export function usage(message: string, cause?: unknown): Fault {
  return new Fault("usage.invalid", `${message}; see sallyport --help`, { cause });
}
