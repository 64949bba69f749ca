import type { Socket } from 'node:net'

/** Finds out that a client takes nothing of what waits for it. */
export class StallWatch {
  private untaken = 0
  private takenAt = 0

  /** True when nothing of what has been written to the socket has left for `patienceMs`; to be asked again and again. */
  stalls({ writableLength }: Socket, now: number, patienceMs: number): boolean {
    if (writableLength !== 0 && writableLength === this.untaken) return now - this.takenAt >= patienceMs
    this.untaken = writableLength
    this.takenAt = now
    return false
  }
}
