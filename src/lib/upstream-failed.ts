/** A registry that did not give what was asked of it; the message is for people and holds no secret. */
export class UpstreamFailed extends Error {
  /** Whether asking again may help. */
  readonly isPassing: boolean

  constructor(message: string, options: { cause?: unknown; isPassing?: boolean } = {}) {
    super(message, { cause: options.cause })
    this.name = 'UpstreamFailed'
    this.isPassing = options.isPassing === true
  }
}
