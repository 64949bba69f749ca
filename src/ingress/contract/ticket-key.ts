import { openBox, sealBox } from '../../lib/sealed-box.ts'

/** What Node's TLS seals session tickets with: a name, a key for the code and one for the cipher, 16 bytes each. */
export const TICKET_KEY_BYTES = 48
/** The present one and the one before: tickets live as long as two changes of the key. */
const MOST_KEYS = 2
const PLACE = 'session tickets'

/** Seals keys, the newest first. */
export function sealTicketKeys(ticketKeys: readonly Buffer[], key: Buffer): Buffer {
  return sealBox(Buffer.concat(ticketKeys), key, PLACE)
}

/** The keys, the newest first. Throws when the file was changed or belongs to another node. */
export function openTicketKeys(sealed: Buffer, key: Buffer): Buffer[] {
  const bytes = openBox(sealed, key, PLACE)
  const count = bytes.length / TICKET_KEY_BYTES
  if (!Number.isInteger(count) || count < 1 || count > MOST_KEYS)
    throw new Error('the keys for session tickets have a wrong length')
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray(index * TICKET_KEY_BYTES, (index + 1) * TICKET_KEY_BYTES),
  )
}
