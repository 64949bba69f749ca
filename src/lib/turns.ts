import type { System } from './system.ts'

/** Gives the event loop a turn between pieces of work that would be too long in one go. */
export interface Turns {
  /** Call it before each piece, with its size: waits for the next turn when this one has done its share. */
  take(bytes: number): Promise<void>
}

/** What one turn may do: a few milliseconds of JSON or AES. */
const BYTES_PER_TURN = 128 * 1024

/** `pieceBytes` is what a piece costs besides its own size. */
export function createTurns(system: System, pieceBytes: number): Turns {
  let left = BYTES_PER_TURN
  return {
    take: async (bytes) => {
      if (left <= 0) {
        await system.sleep(0)
        left = BYTES_PER_TURN
      }
      left -= bytes + pieceBytes
    },
  }
}
