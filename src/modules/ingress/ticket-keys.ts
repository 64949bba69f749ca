import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TICKETS_FILE } from '../../ingress/contract/control-protocol.ts'
import { openTicketKeys, sealTicketKeys, TICKET_KEY_BYTES } from '../../ingress/contract/ticket-key.ts'
import { writeDurableFile } from '../../lib/durable-file.ts'
import type { System } from '../../lib/system.ts'

/** Whoever steals a key can read connections that were resumed under it: it does not live long (RFC 8446, section 4.6.1: 7 days at most). */
const MAX_AGE_MS = 24 * 3_600_000

/** The keys under which all workers seal session tickets, so that a client may resume with any of them, also after a restart. */
export interface TicketKeys {
  /**
   * Makes a key if there is none, or the newest is a day old or cannot be opened; true when it did. The one before is kept for a day more, for
   * clients that come back with its tickets.
   */
  renewIfOld(key: Buffer): Promise<boolean>
}

export function createTicketKeys(directory: string, system: System): TicketKeys {
  const path = join(directory, TICKETS_FILE)
  return {
    renewIfOld: async (key) => {
      const { keys, ageMs } = await read(path, key, system.now())
      if (ageMs < MAX_AGE_MS) return false
      const kept = ageMs < 2 * MAX_AGE_MS ? keys.slice(0, 1) : []
      await writeDurableFile(path, sealTicketKeys([system.randomBytes(TICKET_KEY_BYTES), ...kept], key))
      return true
    },
  }
}

/** One of a later day was made before the clock was set back: it is due, and the clients of its day may still come back. */
function ageOf(madeMs: number, now: number): number {
  return now - madeMs < -MAX_AGE_MS / 24 ? MAX_AGE_MS : now - madeMs
}

async function read(path: string, key: Buffer, now: number): Promise<{ keys: Buffer[]; ageMs: number }> {
  try {
    const { mtimeMs } = await stat(path)
    return { keys: openTicketKeys(await readFile(path), key), ageMs: ageOf(mtimeMs, now) }
  } catch {
    // Missing or not ours: a new one costs clients one full handshake.
    return { keys: [], ageMs: Number.POSITIVE_INFINITY }
  }
}
