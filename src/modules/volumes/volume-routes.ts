import { Readable } from 'node:stream'
import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery, StreamedText } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { AppError } from '../../lib/errors.ts'
import { UPLOAD_CONTENT_TYPES } from '../uploads/upload-schema.ts'
import type { VolumeOperations } from './volume-operations.ts'
import { VolumeParams, VolumeView } from './volume-schema.ts'

const tags = ['Volumes']

/** Routes of a service's volumes. */
export function volumeRoutes(server: Server, operations: VolumeOperations): void {
  server.get(
    '/v1/services/:id/volumes',
    {
      config: { access: { permission: 'services.read', of: 'service' } },
      schema: {
        operationId: 'listVolumes',
        summary: 'List the volumes of a service with their sizes, by name',
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(VolumeView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        await operations.listVolumes(request.context, request.params.id, readPageRequest(request.query)),
      ),
  )
  server.delete(
    '/v1/services/:id/volumes/:name',
    {
      config: { access: { permission: 'volumes.write', of: 'service' } },
      schema: {
        operationId: 'deleteVolume',
        summary:
          'Delete a volume that nothing uses any more, or that the engine has lost, with all that is in it',
        tags,
        params: VolumeParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await operations.deleteVolume(request.context, request.params.id, request.params.name)
      return reply.code(204).send(null)
    },
  )
  backupRoute(server, operations)
  // In a plugin of its own, so that no other route takes these content types.
  void server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(Object.keys(UPLOAD_CONTENT_TYPES), (_request, payload, done) =>
      done(null, payload),
    )
    restoreRoute(scope, operations)
  })
}

function backupRoute(server: Server, operations: VolumeOperations): void {
  server.get(
    '/v1/services/:id/volumes/:name/backup',
    {
      config: { access: { permission: 'volumes.read', of: 'service' } },
      schema: {
        operationId: 'backupVolume',
        summary: 'Download the contents of a volume as a tar archive',
        description:
          'Files are read as they are at that moment; stop the service first when they must fit each other. An archive that ends early breaks the connection.',
        tags,
        params: VolumeParams,
        response: { 200: { content: { 'application/x-tar': { schema: StreamedText } } } },
      },
    },
    async (request, reply) => {
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort(new Error('the client went away')))
      const { id, name } = request.params
      const backup = await operations.backupVolume(request.context, id, name, gone.signal)
      void reply.header('content-type', 'application/x-tar')
      void reply.header('content-disposition', `attachment; filename="${backup.file_name}"`)
      return reply.send(backup.stream)
    },
  )
}

function restoreRoute(server: Server, operations: VolumeOperations): void {
  server.post(
    '/v1/services/:id/volumes/:name/restore',
    {
      config: { access: { permission: 'volumes.write', of: 'service' }, streams_body: true },
      schema: {
        operationId: 'restoreVolume',
        summary: 'Let the contents of an archive take the place of those of a volume',
        description:
          'The body is a tar archive: application/x-tar, application/gzip (tar.gz) or application/zstd (tar.zst). It is unpacked beside the volume while the service goes on; then its replicas are replaced while requests wait.',
        tags,
        params: VolumeParams,
        consumes: Object.keys(UPLOAD_CONTENT_TYPES),
        response: { 200: VolumeView },
      },
    },
    async (request, reply) => {
      const format =
        UPLOAD_CONTENT_TYPES[request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? '']
      if (format === undefined) throw new AppError('UNSUPPORTED_MEDIA_TYPE')
      const gone = new AbortController()
      // Also once all of the body is here: whoever breaks off has not been told that the volume was replaced.
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) gone.abort(new AppError('BAD_REQUEST'))
      })
      const stream = request.body instanceof Readable ? request.body : Readable.from([])
      const { id, name } = request.params
      return operations.restoreVolume(request.context, id, name, { stream, format }, gone.signal)
    },
  )
}
