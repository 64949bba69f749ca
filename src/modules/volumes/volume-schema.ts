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
  /** 0: nobody has seen to the owner and mode of its folder yet. 1: programs may have written into it. */
  prepared: 0 | 1
}

/** The name of a volume in the engine: derived, so that a step that runs again finds its own work. */
export function engineName({ id, generation }: Pick<VolumeRow, 'id' | 'generation'>): string {
  return `berth-volume-${id}-${generation}`
}

/** The engine does not have a volume any more that programs may have written into; `message` is for people. */
export class VolumeLost extends Error {
  constructor(volume: string, service: string) {
    super(
      `The engine has lost volume ${volume} of ${service}. Restore a backup of it, or remove it to begin with an empty one (berth volumes restore, berth volumes rm).`,
    )
    this.name = 'VolumeLost'
  }
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
    lost: Type.Boolean({
      description:
        'The engine does not have it any more. Nothing starts with it until a backup is restored, or it is deleted to begin with an empty one.',
    }),
    created_at: nullable(Instant),
    restored_at: nullable(Instant),
  },
  { title: 'Volume' },
)
export type VolumeView = Static<typeof VolumeView>
