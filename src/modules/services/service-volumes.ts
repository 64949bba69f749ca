import { AppError, type ErrorDetail } from '../../lib/errors.ts'
import type { ServicePatch } from './service-input-schema.ts'
import { replicasOf, type ServiceConfig, type VolumeMount } from './service-schema.ts'

export const ONE_WRITER =
  'must be at most 1 for a service that writes into a volume; for more, mount each read_only'

/** Where the kernel or the engine has something of its own. */
const TAKEN = /^\/(proc|sys|dev|etc\/(hosts|hostname|resolv\.conf))(\/|$)/
const PATH = /^(\/[A-Za-z0-9._@+-]+)+$/

/** Reads the volumes that were sent. What is wrong is added to the problems. */
export function readVolumes(
  sent: NonNullable<ServicePatch['volumes']>,
  problems: ErrorDetail[],
): VolumeMount[] {
  const names = new Set<string>()
  const paths = new Set<string>()
  return sent.map(({ name, mount_path: given, read_only = false }, index) => {
    const mount_path = given.replace(/\/+$/, '')
    const tell = (field: string, message: string): void =>
      void problems.push({ field: `volumes.${index}.${field}`, message })
    if (names.has(name)) tell('name', 'is given twice')
    if (!PATH.test(mount_path) || mount_path.split('/').some((part) => part === '.' || part === '..'))
      tell('mount_path', 'must be an absolute path of letters, digits and ._@+-, other than / and without ..')
    else if (TAKEN.test(mount_path)) tell('mount_path', 'is taken by the system')
    else if (paths.has(mount_path)) tell('mount_path', 'is given twice')
    names.add(name)
    paths.add(mount_path)
    return { name, mount_path, read_only }
  })
}

/** Throws VALIDATION_ERROR when so many replicas would write into one volume. */
export function requireOneWriter(config: ServiceConfig, replicas: number): void {
  if (replicasOf(config, replicas) === replicas) return
  throw new AppError('VALIDATION_ERROR', { details: [{ field: 'replicas', message: ONE_WRITER }] })
}
