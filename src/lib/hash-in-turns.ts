import type { System } from './system.ts'

/** What one turn of the event loop may hash: a millisecond or two, also without instructions of the processor for it. */
const PIECE_BYTES = 512 * 1024

/** Adds bytes to a hash, a piece in each turn of the event loop; answers the hash. */
export async function hashInTurns<H extends { update(piece: Uint8Array): unknown }>(
  system: Pick<System, 'sleep'>,
  hash: H,
  bytes: Uint8Array,
): Promise<H> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (at > 0) await system.sleep(0)
    hash.update(bytes.subarray(at, at + PIECE_BYTES))
  }
  return hash
}
