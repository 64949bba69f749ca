import { openBox, sealBox } from '../lib/sealed-box.ts'

/** What Node's TLS seals session tickets with: a name, a key for the code and one for the cipher, 16 bytes each. */
export const TICKET_KEY_BYTES = 48
const PLACE = 'session tickets'

export function sealTicketKey(ticketKey: Buffer, key: Buffer): Buffer {
  return sealBox(ticketKey, key, PLACE)
}

/** Throws when the file was changed or belongs to another node. */
export function openTicketKey(sealed: Buffer, key: Buffer): Buffer {
  const ticketKey = openBox(sealed, key, PLACE)
  if (ticketKey.length !== TICKET_KEY_BYTES) throw new Error('the key for session tickets has a wrong length')
  return ticketKey
}
