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

/** The shape of failures, with one of the codes. */
export function expectError(reply: RegistryReply, status: number, ...codes: string[]): void {
  expectStatus(reply, status)
  const errors = reply.json['errors']
  assert.ok(Array.isArray(errors) && errors.length > 0, `no errors in ${reply.text}`)
  const [first] = errors as { code: string }[]
  assert.match(first?.code ?? '', /^[A-Z_]+$/)
  if (codes.length > 0)
    assert.ok(codes.includes(first?.code ?? ''), `${first?.code} is none of ${codes.join()}`)
}
