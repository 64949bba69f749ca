import { type Static, Type } from 'typebox'
import { Id, Instant, nullable } from '../../http/schema.ts'
import type { ActorRecord } from '../identity/actor.ts'

/** A row of `secret_rotations` with its JSON column read. */
export interface RotationRow {
  id: string
  from_recipient: string
  /** Null until the new key is there. */
  to_recipient: string | null
  created_by: ActorRecord
  resealed: number
  unreadable: number
  revision: number
  created_at: string
  finished_at: string | null
}

const Recipient = Type.String({ description: 'An age public key', examples: ['age1...'] })

export const RecipientView = Type.Object(
  {
    recipient: Recipient,
    recovery_recipients: Type.Array(Recipient, {
      description: 'Public keys of the configuration whose owners can open everything too.',
    }),
  },
  { title: 'Recipient' },
)
export type RecipientView = Static<typeof RecipientView>

export const RotationView = Type.Object(
  {
    id: Id,
    status: Type.Enum(['running', 'finished']),
    from_recipient: Recipient,
    to_recipient: nullable(Recipient),
    resealed: Type.Integer({ description: 'Documents that were sealed anew so far.' }),
    unreadable: Type.Integer({
      description: 'Documents that could not be opened. An old key that one of them names is kept.',
    }),
    created_by: Type.String(),
    created_at: Instant,
    finished_at: nullable(Instant),
  },
  { title: 'KeyRotation' },
)
export type RotationView = Static<typeof RotationView> & { revision: number }
