/** Takes the bytes of a body. */
export interface BodySink {
  /** Where the next bytes may be read to, if the sink has a place for them; else they come by `take`. */
  room(): Buffer | undefined
  /** So many bytes lie at the beginning of what `room` gave last. */
  filled(bytes: number): void
  /** Bytes that may be looked at during the call only. */
  take(bytes: Buffer): void
  /** Nothing more comes: the body is whole, or with an error it never will be. */
  end(error?: Error): void
}

/** The body of a request without its transport. */
export interface BodySource {
  /** The bytes that were announced; undefined when they come in chunks. */
  readonly length: number | undefined
  /** Sends everything to the sink from now on; once. */
  start(sink: BodySink): void
  /** Holds the client back; a little may come still. */
  pause(): void
  resume(): void
  /** Reads on without keeping, so that the client sees the answer; for a bounded time. */
  discard(): void
  /** Breaks the connection. */
  destroy(): void
}
