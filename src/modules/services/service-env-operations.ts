import { AppError } from '../../lib/errors.ts'
import type { Context } from '../identity/context.ts'
import { type Env, type EnvInput, readEnv, refuseTooLarge } from '../secrets/env-schema.ts'
import { requireSamePort, splitPort } from './service-input.ts'
import type { EnvPatch } from './service-input-schema.ts'
import type { ServiceDeps, ServiceRecords } from './service-record.ts'
import type { ServiceRow } from './service-schema.ts'

/** Variables as they are answered, with what makes the ETag: it is that of the service. */
export interface EnvAnswer {
  env: Env
  id: string
  revision: number
}

/** A change is tried again when another one came in between; after so many the caller is told. */
const ATTEMPTS = 8

/** The verbs on a service's environment variables. A change acts with the next deployment. */
export function createEnvOperations(deps: ServiceDeps, records: ServiceRecords) {
  const answer = async (context: Context, service: ServiceRow): Promise<EnvAnswer> => ({
    env: await records.envFor(context.actor, service),
    id: service.id,
    revision: service.revision,
  })

  return {
    /** The variables of a service. */
    getServiceEnv: async (context: Context, id: string): Promise<EnvAnswer> =>
      answer(context, records.requireService(context.actor, 'env.read', id)),

    /** Replaces all variables. */
    replaceServiceEnv: async (context: Context, id: string, input: EnvInput): Promise<EnvAnswer> => {
      const before = records.requireService(context.actor, 'env.write', id)
      const { env, port } = splitPort(readEnv(input, 'env'))
      requireSamePort(port, before.config.internal_port, 'env')
      const sealed = await records.sealEnv(env)
      const saved = records.save(context, 'env.write', id, 'replaceServiceEnv', (service) => {
        requireSamePort(port, service.config.internal_port, 'env')
        const gone = records.namesOf(service).filter((name) => !(name in env))
        return {
          row: { ...service, env_sealed: sealed },
          details: { env_set: Object.keys(env), env_unset: gone },
        }
      })
      return answer(context, saved ?? before)
    },

    /** Sets and unsets single variables. Throws CONFLICT when others change them all the time. */
    updateServiceEnv: async (context: Context, id: string, input: EnvPatch): Promise<EnvAnswer> => {
      const { env: set, port } = splitPort(readEnv(input.set ?? {}, 'set'))
      const unset = input.unset ?? []
      refuseBoth(set, unset)
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        const before = records.requireService(context.actor, 'env.write', id)
        requireSamePort(port, before.config.internal_port, 'set')
        const old = before.env_sealed === null ? {} : await deps.secrets.open(before.env_sealed)
        const kept = Object.entries(old).filter(([name]) => !unset.includes(name))
        const env: Env = { ...Object.fromEntries(kept), ...set }
        refuseTooLarge(env, 'set')
        const sealed = await records.sealEnv(env)
        const saved = records.save(context, 'env.write', id, 'updateServiceEnv', (service) => {
          requireSamePort(port, service.config.internal_port, 'set')
          if (service.env_sealed !== before.env_sealed) return undefined
          return {
            row: { ...service, env_sealed: sealed },
            details: { env_set: Object.keys(set), env_unset: unset },
          }
        })
        if (saved) return answer(context, saved)
      }
      throw new AppError('CONFLICT')
    },
  }
}

function refuseBoth(set: Env, unset: readonly string[]): void {
  const both = unset.filter((name) => name in set)
  if (both.length === 0) return
  throw new AppError('VALIDATION_ERROR', {
    details: both.map((name) => ({ field: `unset.${name}`, message: 'is set and unset at once' })),
  })
}
