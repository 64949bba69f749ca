import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { Config } from '../../config.ts'
import type { ArchiveSummary } from '../../lib/archive-check.ts'
import type { ArchiveFormat } from '../../lib/archive-decode.ts'
import { badArchive, tooLarge } from '../../lib/archive-error.ts'
import { type UnpackOptions, unpackArchive } from '../../lib/archive-unpack.ts'
import { AppError, systemCodeOf } from '../../lib/errors.ts'
import { createSlots } from '../../lib/slots.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { recordActor } from '../identity/actor.ts'
import type { Context } from '../identity/context.ts'
import type { UploadFiles } from './upload-files.ts'
import { receiveArchive } from './upload-reception.ts'
import type { UploadRow, UploadView } from './upload-schema.ts'
import type { UploadStore } from './upload-store.ts'

export interface UploadDeps {
  database: Database
  store: UploadStore
  files: UploadFiles
  system: System
  recordAudit: RecordAudit
  /** The project of a service; undefined when there is no such service or it is being deleted. */
  projectOfService: (serviceId: string) => string | undefined
  settings: Pick<
    Config,
    'upload_max_bytes' | 'unpacked_max_bytes' | 'unpacked_max_entries' | 'upload_ttl_seconds'
  >
}

export interface UploadBody {
  stream: Readable
  format: ArchiveFormat
  /** Content-Length, when the client told it. */
  announced_bytes: number | undefined
}

export type UploadOperations = ReturnType<typeof createUploadOperations>

/** A decompressor may take up to 128 MiB for its window, so few archives are read at once; the rest waits in its connection. */
const RECEIVED_AT_ONCE = {
  slots: 4,
  waiting: 64,
  waitMs: 60_000,
  // Of one project: it may send as slowly as it likes.
  ofOne: { slots: 3, waiting: 32 },
}
/** Files take whole blocks of the disk. */
const BLOCK_BYTES = 4096

/** The verbs on uploads. */
export function createUploadOperations(deps: UploadDeps) {
  const { database, store, files, system, settings } = deps
  const slots = createSlots(system, RECEIVED_AT_ONCE)
  const limits = { maxBytes: settings.unpacked_max_bytes, maxEntries: settings.unpacked_max_entries }

  const insert = (context: Context, upload: Omit<UploadRow, 'created_by' | 'deployment_id'>): void => {
    database.transact(() => {
      // It may have been deleted while the body came in.
      const projectId = deps.projectOfService(upload.service_id)
      if (projectId === undefined) throw new AppError('NOT_FOUND')
      store.insert({ ...upload, created_by: JSON.stringify(recordActor(context.actor)) })
      deps.recordAudit(context, {
        action: 'createUpload',
        resource_kind: 'upload',
        resource_id: upload.id,
        project_id: projectId,
        details: { service_id: upload.service_id, size_bytes: upload.size_bytes, sha256: upload.sha256 },
      })
    })
  }

  const receive = async (context: Context, serviceId: string, body: UploadBody): Promise<UploadView> => {
    await files.requireRoom(body.announced_bytes ?? 0)
    const id = system.newId()
    const path = files.pathOf({ id, format: body.format })
    return files.whileArriving(id, async () => {
      const received = await receiveArchive(body.stream, body.format, path, {
        system,
        maxBytes: settings.upload_max_bytes,
        limits,
        requireRoom: (bytes) => files.requireRoom(bytes),
      })
      const upload = {
        id,
        service_id: serviceId,
        format: body.format,
        ...received,
        created_at: system.nowIso(),
        expires_at: new Date(system.now() + settings.upload_ttl_seconds * 1000).toISOString(),
      }
      try {
        insert(context, upload)
      } catch (error) {
        await rm(path, { force: true })
        throw error
      }
      const { id: upload_id, ...rest } = upload
      return { upload_id, ...rest }
    })
  }

  return {
    /**
     * Receives the source of a service as an archive and checks it on the way. Throws BAD_ARCHIVE, PAYLOAD_TOO_LARGE, DISK_FULL, BUSY; nothing
     * is left of what is refused, nor of a client that goes away.
     */
    async createUpload(context: Context, serviceId: string, body: UploadBody): Promise<UploadView> {
      if ((body.announced_bytes ?? 0) > settings.upload_max_bytes)
        throw tooLarge(`more than ${settings.upload_max_bytes} bytes`)
      const left = new AbortController()
      const leave = (): void => left.abort(new AppError('BUSY', { message: 'The client went away.' }))
      body.stream.once('close', leave)
      try {
        const release = await slots.acquire(left.signal, deps.projectOfService(serviceId))
        try {
          return await receive(context, serviceId, body)
        } finally {
          release()
        }
      } finally {
        body.stream.off('close', leave)
      }
    },

    /**
     * Gives an upload of the service to a deployment, inside the caller's transaction; the same deployment may ask again. Throws NOT_FOUND
     * for an upload that is not of this service, UPLOAD_USED for one that another deployment has or that has expired.
     */
    takeUpload(
      serviceId: string,
      uploadId: string,
      deploymentId: string,
    ): { sha256: string; size_bytes: number } {
      const upload = store.find(uploadId)
      if (upload?.service_id !== serviceId)
        throw new AppError('NOT_FOUND', {
          details: [{ field: 'source.upload_id', message: `${uploadId} is no upload of the service` }],
        })
      if (!store.take(uploadId, deploymentId, system.nowIso())) throw new AppError('UPLOAD_USED')
      return { sha256: upload.sha256, size_bytes: upload.size_bytes }
    },

    /**
     * Unpacks an upload into a directory, which is emptied first; it may be repeated. Throws UPLOAD_USED when its file is gone, DISK_FULL, and
     * the signal's reason.
     */
    async unpackUpload(uploadId: string, directory: string, options: UnpackOptions): Promise<ArchiveSummary> {
      const upload = store.find(uploadId)
      if (!upload) throw new AppError('UPLOAD_USED')
      await files.requireRoom(upload.unpacked_bytes + upload.entries * BLOCK_BYTES)
      const source = readVerified(files.pathOf(upload), upload.sha256)
      return unpackArchive(source, upload.format, directory, limits, options)
    },
  }
}

/** The bytes of a file; throws at its end when they are not those that were received. */
async function* readVerified(path: string, sha256: string): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash('sha256')
  const stream = createReadStream(path, { highWaterMark: 256 * 1024 })
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      hash.update(chunk)
      yield chunk
    }
  } catch (error) {
    throw systemCodeOf(error) === 'ENOENT' ? new AppError('UPLOAD_USED', { cause: error }) : error
  }
  if (hash.digest('hex') !== sha256)
    throw badArchive('it was damaged on the disk of the server; upload again')
}
