import { readPush } from './push-event.ts'
import type { Push } from './webhook-schema.ts'

/** What a verified body says: a push, or nothing that matters; undefined when it is no JSON. */
export function readPayload(body: Buffer, isForm: boolean): { push: Push | null } | undefined {
  try {
    // A forge may wrap the JSON in a form with the field `payload`.
    const text = isForm ? (new URLSearchParams(body.toString()).get('payload') ?? '') : body.toString()
    return { push: readPush(JSON.parse(text)) ?? null }
  } catch {
    return undefined
  }
}
