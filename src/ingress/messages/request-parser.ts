import { METHODS } from 'node:http'
import { readFieldLines } from './field-lines.ts'

/** A request of HTTP/1 as it stands in its header section. */
export interface RawRequest {
  method: string
  /** In whatever form it came (RFC 9112, section 3.2); visible ASCII. */
  target: string
  /** Of its version: 0 or 1. */
  minor: number
  /** Names and values in turn, as the client spelled them. */
  fields: string[]
}

const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS)
const VERSION = ' HTTP/1.'
/** Its length with the last digit. */
const VERSION_LENGTH = VERSION.length + 1
/** Whatever else there could be is read in different ways by different servers. */
const TARGET = /^[!-~]+$/

/**
 * Parses a header section: `text` from `start` to `end`, the index just behind the empty line. A number is the status to answer with
 * instead. What is refused here could be read in two ways (RFC 9112, sections 2.2, 3 and 5).
 */
export function parseRequest(
  text: string,
  start: number,
  end: number,
  maxFields: number,
): RawRequest | number {
  const lineEnd = text.indexOf('\r\n', start)
  const methodEnd = text.indexOf(' ', start)
  const targetEnd = lineEnd - VERSION_LENGTH
  if (methodEnd === -1 || targetEnd <= methodEnd) return 400
  const method = text.slice(start, methodEnd)
  if (!KNOWN_METHODS.has(method)) return text.startsWith('PRI * HTTP/2.0', start) ? 505 : 400
  const target = text.slice(methodEnd + 1, targetEnd)
  const minor = text.charCodeAt(lineEnd - 1) - 48
  if (!TARGET.test(target)) return 400
  if (!text.startsWith(VERSION, targetEnd))
    return / HTTP\/\d\.\d$/.test(text.slice(start, lineEnd)) ? 505 : 400
  if (minor !== 0 && minor !== 1) return 505
  const fields: string[] = []
  const fault = readFieldLines(text, lineEnd + 2, end, maxFields, fields)
  if (fault !== undefined) return fault === 'header_count' ? 431 : 400
  return { method, target, minor, fields }
}

/** The value of a field, `name` in lower case; the values of several, joined (RFC 9110, section 5.3). */
export function valueOf({ fields }: RawRequest, name: string): string | undefined {
  let value: string | undefined
  for (let index = 0; index < fields.length; index += 2) {
    const each = fields[index] as string
    if (each.length === name.length && each.toLowerCase() === name)
      value = value === undefined ? fields[index + 1] : `${value}, ${fields[index + 1]}`
  }
  return value
}
