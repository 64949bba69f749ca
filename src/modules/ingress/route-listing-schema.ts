import { type Static, Type } from 'typebox'
import { Id } from '../../http/schema.ts'

/** A route as the ingress serves it, with what runs through it now. */
export const IngressRoute = Type.Object(
  {
    hostname: Type.String({ examples: ['web.shop.apps.example.com'] }),
    label: Type.String({ description: '`<project>/<service>`', examples: ['shop/web'] }),
    service_id: Id,
    table_version: Type.Integer({ description: 'Of the table that has it; rises with every change' }),
    canary: Type.Optional(
      Type.Object(
        { deployment_id: Id, percent: Type.Integer() },
        { description: 'The release of some of the upstreams that gets so many percent of the requests' },
      ),
    ),
    upstreams: Type.Array(
      Type.Object({
        id: Type.String({ description: "The container's name" }),
        address: Type.String({ examples: ['172.20.0.5'] }),
        port: Type.Integer(),
        deployment_id: Id,
        requests: Type.Integer({ description: 'Under way now, over all ingress processes' }),
        upgraded: Type.Integer({ description: 'Open upgraded connections (WebSocket)' }),
      }),
      { description: 'Replicas that may get new requests; none: the ingress answers 503' },
    ),
  },
  { title: 'IngressRoute' },
)
export type IngressRoute = Static<typeof IngressRoute>
