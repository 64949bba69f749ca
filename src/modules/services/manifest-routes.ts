import { Type } from 'typebox'
import type { Server } from '../../http/server.ts'
import type { ManifestSchema } from './manifest-schema.ts'

/** What a berth.toml may hold. Public, because editors fetch it, and because it is the same on every server of this version. */
export function manifestRoutes(server: Server, schema: ManifestSchema): void {
  const text = JSON.stringify(schema)
  server.get(
    '/v1/manifest-schema.json',
    {
      config: { access: { public: true } },
      schema: {
        operationId: 'readManifestSchema',
        summary: 'Read what a berth.toml may hold, as JSON Schema',
        tags: ['Services'],
        response: { 200: Type.Unsafe<string>({ type: 'object', description: 'JSON Schema, draft 7' }) },
      },
    },
    async (_request, reply) => reply.type('application/json; charset=utf-8').serializer(String).send(text),
  )
}
