import { STATUS_CODES } from 'node:http'

export type AnswerHeaders = Readonly<Record<string, string | number | readonly string[]>>

/** The head of an answer as it goes out, up to and with its empty line. */
export function answerHead(
  status: number,
  headers: AnswerHeaders,
  { date, closes }: { date: string; closes: boolean },
): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nDate: ${date}\r\n`
  for (const name in headers) {
    const value = headers[name]
    // RFC 9110, section 8.6: no length with a 204.
    if (value === undefined || (status === 204 && name === 'Content-Length')) continue
    if (typeof value === 'object') for (const each of value) text += fieldLine(name, each)
    else text += fieldLine(name, value)
  }
  return closes ? `${text}Connection: close\r\n\r\n` : `${text}\r\n`
}

/** Visible ASCII and blanks: anything else could begin a field of its own. */
const VALUE = /^[\x20-\x7e\t]*$/

function fieldLine(name: string, value: string | number): string {
  if (typeof value === 'string' && !VALUE.test(value)) throw new Error(`a wrong value of ${name}`)
  return `${name}: ${value}\r\n`
}
