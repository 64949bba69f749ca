import assert from 'node:assert/strict'
import type { RegistryClient, RegistryReply } from './registry-client.ts'

/** One sentence of the distribution specification, held against a registry. */
export interface RegistryCase {
  /** Category of the specification. */
  group: 'pull' | 'push' | 'discovery' | 'management' | 'errors'
  title: string
  /** How strongly the specification (or registry.md for additions) asks for it. */
  level: 'must' | 'should' | 'berth'
  run: (client: RegistryClient, name: string) => Promise<void>
}

export function expectStatus(reply: RegistryReply, ...statuses: number[]): void {
  assert.ok(
    statuses.includes(reply.status),
    `expected ${statuses.join(' or ')}, got ${reply.status} ${reply.text.slice(0, 300)}`,
  )
}

/** "The `code` field MUST be one of the following" (section "Error Codes"). */
const ERROR_CODES: ReadonlySet<string> = new Set(
  [
    ['BLOB_UNKNOWN', 'BLOB_UPLOAD_INVALID', 'BLOB_UPLOAD_UNKNOWN', 'DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN'],
    ['MANIFEST_INVALID', 'MANIFEST_UNKNOWN', 'NAME_INVALID', 'NAME_UNKNOWN', 'SIZE_INVALID', 'UNAUTHORIZED'],
    ['DENIED', 'UNSUPPORTED', 'TOOMANYREQUESTS'],
  ].flat(),
)

/** The shape of failures of the client, with one of the codes. */
export function expectError(reply: RegistryReply, status: number, ...codes: string[]): void {
  expectStatus(reply, status)
  const errors = reply.json['errors']
  assert.ok(Array.isArray(errors) && errors.length > 0, `no errors in ${reply.text}`)
  const [first] = errors as { code: string }[]
  for (const { code } of errors as { code: string }[])
    assert.ok(ERROR_CODES.has(code), `${code} is no code of the specification`)
  if (codes.length > 0)
    assert.ok(codes.includes(first?.code ?? ''), `${first?.code} is none of ${codes.join()}`)
}
