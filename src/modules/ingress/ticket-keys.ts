import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TICKETS_FILE } from '../../ingress/control-protocol.ts'
import { openTicketKey, sealTicketKey, TICKET_KEY_BYTES } from '../../ingress/ticket-key.ts'
import { writeDurableFile } from '../../lib/durable-file.ts'
import type { System } from '../../lib/system.ts'

/** Whoever steals the key can read connections that were resumed under it: it does not live long (RFC 8446, section 4.6.1: 7 days at most). */
const MAX_AGE_MS = 24 * 3_600_000

/** The key under which all workers seal session tickets, so that a client may resume with any of them, also after a restart. */
export interface TicketKeys {
  /** Makes a key if there is none or it is a day old or cannot be opened; true when it did. */
  renewIfOld(key: Buffer): Promise<boolean>
}

export function createTicketKeys(directory: string, system: System): TicketKeys {
  const path = join(directory, TICKETS_FILE)
  return {
    renewIfOld: async (key) => {
      if (await isUsable(path, key, system.now())) return false
      await writeDurableFile(path, sealTicketKey(system.randomBytes(TICKET_KEY_BYTES), key))
      return true
    },
  }
}

async function isUsable(path: string, key: Buffer, now: number): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path)
    openTicketKey(await readFile(path), key)
    return now - mtimeMs < MAX_AGE_MS
  } catch {
    // Missing or not ours: a new one costs clients one full handshake.
    return false
  }
}
