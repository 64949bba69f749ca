const CR = 0x0d
const LF = 0x0a
/** Twelve digits are 2^48 bytes; a longer number can only be meant to overflow. */
const MAX_SIZE_DIGITS = 12
/** Of an extension or of the trailers together; nobody sends them. */
const MAX_IGNORED_BYTES = 8 * 1024

type State =
  | 'size'
  | 'extension'
  | 'size_lf'
  | 'data'
  | 'data_cr'
  | 'data_lf'
  | 'trailer'
  | 'trailer_lf'
  | 'over'

/** Takes the chunked coding (RFC 9112, section 7.1) off, piece by piece; extensions and trailers are read over. */
export class ChunkReader {
  fault = false
  #state: State = 'size'
  #size = 0
  #digits = 0
  #ignored = 0
  #lineBytes = 0

  get over(): boolean {
    return this.#state === 'over'
  }

  /** Hands the data in these bytes to `take`; answers how many of the bytes belong to the body. */
  read(bytes: Buffer, take: (data: Buffer) => void): number {
    let at = 0
    while (at < bytes.length && !this.fault && this.#state !== 'over') {
      if (this.#state === 'data') {
        const end = Math.min(bytes.length, at + this.#size)
        this.#size -= end - at
        take(bytes.subarray(at, end))
        at = end
        if (this.#size === 0) this.#state = 'data_cr'
      } else {
        this.#step(bytes[at] ?? 0)
        at += 1
      }
    }
    return at
  }

  #step(byte: number): void {
    switch (this.#state) {
      case 'size':
        return this.#takeSize(byte)
      case 'extension':
        if (byte === CR) this.#state = 'size_lf'
        else this.#ignore(byte)
        return
      case 'size_lf':
        this.#state = this.#size === 0 ? 'trailer' : 'data'
        this.#digits = 0
        this.#lineBytes = 0
        return this.#expect(byte, LF)
      case 'data_cr':
        this.#state = 'data_lf'
        return this.#expect(byte, CR)
      case 'data_lf':
        this.#state = 'size'
        return this.#expect(byte, LF)
      case 'trailer':
        if (byte === CR) this.#state = 'trailer_lf'
        else {
          this.#lineBytes += 1
          this.#ignore(byte)
        }
        return
      default:
        // The empty line ends the trailers.
        this.#state = this.#lineBytes === 0 ? 'over' : 'trailer'
        this.#lineBytes = 0
        return this.#expect(byte, LF)
    }
  }

  #takeSize(byte: number): void {
    const digit = hexDigit(byte)
    if (digit !== -1) {
      this.#digits += 1
      this.#size = this.#size * 16 + digit
      if (this.#digits > MAX_SIZE_DIGITS) this.fault = true
    } else if (this.#digits === 0) this.fault = true
    else if (byte === CR) this.#state = 'size_lf'
    else if (byte === 0x3b) this.#state = 'extension'
    else this.fault = true
  }

  #expect(byte: number, wanted: number): void {
    if (byte !== wanted) this.fault = true
  }

  /** A bare line feed or another control character has been used to make two parsers see different messages. */
  #ignore(byte: number): void {
    this.#ignored += 1
    if (this.#ignored > MAX_IGNORED_BYTES || (byte < 0x20 && byte !== 0x09) || byte === 0x7f)
      this.fault = true
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
