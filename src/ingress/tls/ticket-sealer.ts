import type { Server } from 'node:tls'

/**
 * Asked by OpenSSL for the keys of a ticket: of a new one if `enc`, else of the one whose key has this name. Answers 0 (unknown), 1, or 2 (good, but
 * give the client a new one), with keys for the code and the cipher, and for a new ticket the name of its key and an initialisation vector. The
 * keys must be there and 16 bytes long whatever the number, or the process ends.
 */
type TicketCallback = (
  name: Buffer,
  iv: Buffer,
  enc: boolean,
) => [number, Buffer, Buffer, Buffer, Buffer] | [number, Buffer, Buffer]

/** The part behind Node's TLS server that knows of more than one key; `setTicketKeys` knows one. */
interface TicketContext {
  enableTicketKeyCallback(): void
  onticketkeycallback: TicketCallback
}

/**
 * Has a server seal session tickets with the first of these keys (48 bytes each: name, code, cipher) and open those of the others, too. Where this
 * version of Node does not offer that, tickets of the others make a whole handshake.
 */
export function useTicketKeys(
  server: Server,
  keys: readonly Buffer[],
  randomBytes: (count: number) => Buffer,
): void {
  const [newest] = keys
  if (newest === undefined) return
  const context = contextOf(server)
  if (context === undefined) {
    server.setTicketKeys(newest)
    return
  }
  context.enableTicketKeyCallback()
  context.onticketkeycallback = (name, _iv, enc) => {
    if (enc) return [GOOD, codeKey(newest), cipherKey(newest), nameOf(newest), randomBytes(16)]
    const key = keys.find((each) => nameOf(each).equals(name))
    if (key === undefined) return [UNKNOWN, codeKey(newest), cipherKey(newest)]
    return [key === newest ? GOOD : GOOD_BUT_OLD, codeKey(key), cipherKey(key)]
  }
}

const [UNKNOWN, GOOD, GOOD_BUT_OLD] = [0, 1, 2]

function contextOf(server: Server): TicketContext | undefined {
  const { _sharedCreds: shared } = server as { _sharedCreds?: { context?: Partial<TicketContext> } }
  const context = shared?.context
  return typeof context?.enableTicketKeyCallback === 'function' ? (context as TicketContext) : undefined
}

const nameOf = (key: Buffer): Buffer => key.subarray(0, 16)
const codeKey = (key: Buffer): Buffer => key.subarray(16, 32)
const cipherKey = (key: Buffer): Buffer => key.subarray(32, 48)
