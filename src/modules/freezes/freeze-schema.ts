import { type Static, Type } from 'typebox'
import { Instant, nullable, strictObject } from '../../http/schema.ts'
import type { ActorRecord } from '../identity/actor.ts'

/** A row of `freezes` with its JSON column read. */
export interface FreezeRow {
  id: string
  /** Null: of the whole node. */
  project_id: string | null
  reason: string
  created_by: ActorRecord
  created_at: string
}

export const FreezeBody = strictObject(
  {
    reason: Type.String({
      minLength: 1,
      maxLength: 500,
      description: 'Told to everyone whose deployment is refused.',
    }),
  },
  { title: 'FreezeBody', examples: [{ reason: 'The sale is on until Monday.' }] },
)
export type FreezeBody = Static<typeof FreezeBody>

export const FreezeView = Type.Object(
  {
    frozen: Type.Boolean({ description: 'Whether deployments are refused.' }),
    reason: nullable(Type.String()),
    created_by: nullable(Type.String()),
    created_at: nullable(Instant),
  },
  { title: 'Freeze' },
)
export type FreezeView = Static<typeof FreezeView>
