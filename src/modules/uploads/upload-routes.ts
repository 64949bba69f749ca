import { Readable } from 'node:stream'
import { IdParams } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { AppError } from '../../lib/errors.ts'
import type { UploadOperations } from './upload-operations.ts'
import { UPLOAD_CONTENT_TYPES, UploadView } from './upload-schema.ts'

/** The route of api.md "Services" that takes sources. */
export function uploadRoutes(server: Server, operations: UploadOperations): void {
  // In a plugin of its own, so that no other route takes these content types.
  void server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(Object.keys(UPLOAD_CONTENT_TYPES), (_request, payload, done) =>
      done(null, payload),
    )
    addRoute(scope, operations)
  })
}

function addRoute(server: Server, operations: UploadOperations): void {
  server.post(
    '/v1/services/:id/uploads',
    {
      config: { access: { permission: 'uploads.create', of: 'service' }, streams_body: true },
      schema: {
        operationId: 'createUpload',
        summary: 'Upload the source of a service as an archive, to be deployed once',
        description:
          'The body is a tar archive: application/zstd (tar.zst), application/gzip (tar.gz) or application/x-tar. It is checked as it arrives.',
        tags: ['services'],
        params: IdParams,
        consumes: Object.keys(UPLOAD_CONTENT_TYPES),
        response: { 201: UploadView },
      },
    },
    async (request, reply) => {
      const { 'content-type': type = '', 'content-length': length } = request.headers
      const format = UPLOAD_CONTENT_TYPES[type.split(';', 1)[0]?.trim().toLowerCase() ?? '']
      // Without a body no parser runs, so neither its type was looked at.
      if (format === undefined) throw new AppError('UNSUPPORTED_MEDIA_TYPE')
      const upload = await operations.createUpload(request.context, request.params.id, {
        stream: request.body instanceof Readable ? request.body : Readable.from([]),
        format,
        announced_bytes: length === undefined ? undefined : Number(length),
      })
      return reply.code(201).send(upload)
    },
  )
}
