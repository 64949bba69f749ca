import { type Static, Type } from 'typebox'
import { Instant, nullable, strictObject } from '../../http/schema.ts'

/** A row of `volumes`. */
export interface VolumeRow {
  id: string
  service_id: string
  name: string
  generation: number
  created_at: string
  restored_at: string | null
  /** 0: nobody has seen to the owner and mode of its folder yet. */
  prepared: 0 | 1
}

/** The name of a volume in the engine: derived, so that a step that runs again finds its own work. */
export function engineName({ id, generation }: Pick<VolumeRow, 'id' | 'generation'>): string {
  return `berth-volume-${id}-${generation}`
}

export const VolumeParams = strictObject({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  name: Type.String({ minLength: 1, maxLength: 64 }),
})

export const VolumeView = Type.Object(
  {
    name: Type.String(),
    mount_path: nullable(
      Type.String({
        description: 'Where new replicas have it; null: the service does not name it any more.',
      }),
    ),
    read_only: nullable(Type.Boolean()),
    in_use: Type.Boolean({
      description:
        'Named by the service, or by a release that runs, is being deployed, or comes back if the one in its bake time fails.',
    }),
    size_bytes: nullable(
      Type.Integer({ description: 'On the disk, at most a minute old; null: not known, or not there yet.' }),
    ),
    created_at: nullable(Instant),
    restored_at: nullable(Instant),
  },
  { title: 'Volume' },
)
export type VolumeView = Static<typeof VolumeView>
