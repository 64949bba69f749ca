/** One event of a stream (WHATWG HTML, "Server-sent events"). */
export interface ServerEvent {
  /** The last id that the stream told; resumes behind this event. */
  id: string
  /** `message` when the stream names none. */
  type: string
  data: string
}

/** Longer lines and events are an error: nothing that Berth sends comes near. */
const LONGEST_EVENT = 4 * 1024 ** 2

/** Reads server-sent events from chunks that may be cut anywhere, also inside of a character or a line end. */
export class EventReader {
  readonly #decoder = new TextDecoder()
  #rest = ''
  /** A carriage return ended the last line: a line feed at once belongs to it. */
  #afterReturn = false
  #id: string
  /** Counts once its event is complete: what was cut off has not been seen. */
  #nextId: string
  #type = ''
  #data: string[] = []
  #dataLength = 0

  constructor(lastEventId = '') {
    this.#id = lastEventId
    this.#nextId = lastEventId
  }

  /** What to resume from. */
  get lastEventId(): string {
    return this.#id
  }

  /** The events that the chunk completes. Throws an Error for one that is too long. */
  *push(chunk: Uint8Array): Generator<ServerEvent, void, undefined> {
    const decoded = this.#decoder.decode(chunk, { stream: true })
    if (decoded === '') return
    const text = this.#afterReturn && decoded.startsWith('\n') ? decoded.slice(1) : decoded
    this.#afterReturn = decoded.endsWith('\r')
    const lines = text.split(/\r\n|\r|\n/)
    lines[0] = this.#rest + lines[0]
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > LONGEST_EVENT) throw new Error('the server sent a line that is too long')
    for (const line of lines) {
      if (line === '') yield* this.#finish()
      else this.#take(line)
    }
  }

  #take(line: string): void {
    const colon = line.indexOf(':')
    // A line that begins with a colon is a comment.
    if (colon === 0) return
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') this.#type = value
    else if (field === 'id' && !value.includes('\0')) this.#nextId = value
    else if (field === 'data') {
      this.#data.push(value)
      this.#dataLength += value.length + 1
      if (this.#dataLength > LONGEST_EVENT) throw new Error('the server sent an event that is too long')
    }
  }

  *#finish(): Generator<ServerEvent, void, undefined> {
    this.#id = this.#nextId
    const event = { id: this.#id, type: this.#type || 'message', data: this.#data.join('\n') }
    const isEmpty = this.#data.length === 0
    this.#type = ''
    this.#data = []
    this.#dataLength = 0
    if (!isEmpty) yield event
  }
}
