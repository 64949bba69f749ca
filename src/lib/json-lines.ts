/**
 * Splits a stream of newline-delimited JSON into values. A line longer than `maxLength` characters, or one that is not JSON, is an
 * error that ends the connection: both ends are ours.
 */
export class JsonLines {
  private readonly maxLength: number
  private partial = ''

  constructor(maxLength: number) {
    this.maxLength = maxLength
  }

  /** Takes a piece of text and gives the values whose lines it completes. */
  take(text: string): unknown[] {
    const lines = text.split('\n')
    const rest = lines.pop() ?? ''
    const values: unknown[] = []
    for (const line of lines) {
      const whole = this.partial + line
      this.partial = ''
      this.check(whole.length)
      if (whole !== '') values.push(JSON.parse(whole))
    }
    this.partial += rest
    this.check(this.partial.length)
    return values
  }

  private check(length: number): void {
    if (length > this.maxLength) throw new Error(`A line of more than ${this.maxLength} characters came.`)
  }
}
