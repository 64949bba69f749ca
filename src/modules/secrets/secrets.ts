import { Encrypter } from 'age-encryption'
import { createHash } from 'node:crypto'
import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { dropRetiredKey, loadNodeKeys, type NodeKey, type NodeKeys, replaceNodeKey } from './node-key.ts'
import { namesInDocument, openDocument, recipientsOfDocument, sealDocument } from './sealed-document.ts'

/** Sealing at rest: what is stored is a SOPS document whose names are readable and whose values are not. */
export interface Secrets {
  /** The public key that values are sealed for (`age1...`). */
  recipient(): string
  /** Seals values. The text must be well-formed Unicode, else it could not be given back as it was. */
  seal(values: Readonly<Record<string, string>>): Promise<string>
  /** Opens a document of this node. Throws SealBroken when anything in it was changed. The result is shared: it is frozen. */
  open(document: string): Promise<Readonly<Record<string, string>>>
  /** The names in a document, without the key and without verifying anything. */
  names(document: string): string[]
}

/** Sealing, with what a change of keys needs. */
export interface NodeSecrets extends Secrets {
  /** All that values are sealed for: the node's public key, then those of the configuration. */
  recipients(): readonly string[]
  /** Whether a document is sealed for just these; nothing is verified. */
  isPresent(document: string): boolean
  /** The public keys that a document is sealed for; nothing is verified. */
  recipientsOf(document: string): string[]
  /** The same values under a new data key for the recipients of today. Throws SealBroken. */
  reseal(document: string): Promise<string>
  /** Puts a new key in the place of the node's. The old one opens what it sealed until it is dropped. */
  replaceKey(): Promise<void>
  /** Public keys that nothing is sealed for any more and that may still be needed. */
  retired(): readonly string[]
  /** Forgets a retired key: what is still sealed for it alone can never be opened again. */
  dropRetired(recipient: string): Promise<void>
  /** The keys themselves, the current one first: for files of others that were encrypted for this node. */
  identities(): readonly NodeKey[]
}

const CACHE_ENTRIES = 256
const CACHE_BYTES = 8 * 1024 * 1024

/** Loads the node's keys, or makes one on the first start. */
export async function createSecrets(deps: {
  dataDir: string
  system: System
  /** Public keys of others that may open everything too: kept in a safe for the day on which the node's is lost. */
  recoveryRecipients?: readonly string[]
  /** Names something that is sealed already, if anything is: then a missing key ends the start instead of being made. */
  findSealed?: () => string | undefined
}): Promise<NodeSecrets> {
  const { dataDir, system, recoveryRecipients = [], findSealed = () => undefined } = deps
  refuseUnusable(recoveryRecipients)
  let keys: NodeKeys = await loadNodeKeys(dataDir, system, findSealed)
  const opened = createOpenedDocuments()
  const recipients = (): string[] => [...new Set([keys.current.recipient, ...recoveryRecipients])]
  const identities = (): NodeKey[] => [keys.current, ...keys.retired]

  const seal = async (values: Readonly<Record<string, string>>): Promise<string> => {
    for (;;) {
      const key = keys.current
      const document = await sealDocument(values, recipients(), system)
      // The key may have been replaced while it was used.
      if (key === keys.current) return document
    }
  }
  return {
    recipient: () => keys.current.recipient,
    recipients,
    seal: async (values) => {
      for (const [name, value] of Object.entries(values)) {
        if (!name.isWellFormed() || !value.isWellFormed())
          throw new TypeError('a name or value to seal is not well-formed Unicode')
      }
      return seal(values)
    },
    open: async (document) => {
      const known = opened.find(document)
      if (known) return known
      const values = Object.freeze(await openDocument(document, identities(), system))
      opened.keep(document, values)
      return values
    },
    names: namesInDocument,
    recipientsOf: recipientsOfDocument,
    isPresent: (document) =>
      recipientsOfDocument(document).toSorted().join() === recipients().toSorted().join(),
    reseal: async (document) => seal(await openDocument(document, identities(), system)),
    replaceKey: async () => {
      keys = await replaceNodeKey(dataDir, keys, system)
    },
    retired: () => keys.retired.map((key) => key.recipient),
    dropRetired: async (recipient) => {
      keys = await dropRetiredKey(dataDir, keys, recipient)
    },
    identities,
  }
}

/** A mistyped key is told of at the start, not when something is to be sealed. */
function refuseUnusable(recipients: readonly string[]): void {
  for (const recipient of recipients) {
    try {
      new Encrypter().addRecipient(recipient)
    } catch (error) {
      throw new Error(`recovery_recipients: ${recipient} is no age public key: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }
}

/** Opened documents by the digest of their sealed text, the least recently used going first; only ever in memory. */
function createOpenedDocuments() {
  const entries = new Map<string, { values: Readonly<Record<string, string>>; bytes: number }>()
  let total = 0
  const digest = (document: string): string => createHash('sha256').update(document).digest('base64')
  const drop = (id: string): void => {
    total -= entries.get(id)?.bytes ?? 0
    entries.delete(id)
  }
  return {
    find: (document: string): Readonly<Record<string, string>> | undefined => {
      const id = digest(document)
      const found = entries.get(id)
      if (!found) return undefined
      entries.delete(id)
      entries.set(id, found)
      return found.values
    },
    keep: (document: string, values: Readonly<Record<string, string>>): void => {
      const id = digest(document)
      drop(id)
      entries.set(id, { values, bytes: document.length })
      total += document.length
      for (const oldest of entries.keys()) {
        if (entries.size <= CACHE_ENTRIES && total <= CACHE_BYTES) break
        drop(oldest)
      }
    },
  }
}
