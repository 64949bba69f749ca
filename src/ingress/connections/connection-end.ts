/**
 * How far the end of a connection is. Closing it while the client still sends would be answered with a reset, which destroys the last answer on
 * its way (RFC 9112, section 9.6): our side is closed first, and what comes is read for a while for nobody.
 */
export class ConnectionEnd {
  /** Our side is closed. */
  begun = false
  /** How much more is read of what cannot be told from requests any more; -1: everything can. */
  private room = -1

  /** Nothing that still comes is looked at. */
  get ignores(): boolean {
    return this.room !== -1
  }

  ignore(atMost: number): void {
    this.room = atMost
  }

  /** So much has come for nobody; true: it is too much. */
  passes(bytes: number): boolean {
    if (this.room === -1) return false
    this.room = Math.max(0, this.room - bytes)
    return this.room === 0
  }
}
