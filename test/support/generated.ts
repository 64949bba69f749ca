import { writeFile } from 'node:fs/promises'
import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import { declareTypes } from './api-types.ts'
import { openApp } from './app.ts'
import { addGate, showTable, sweep } from './permission-table.ts'

/** What is committed and made from the routes, by path. */
export async function generate(): Promise<Record<string, string>> {
  const gate = { closed: false }
  const app = await openApp({ prepare: (server) => addGate(server, gate) })
  try {
    const document = (await app.must(undefined, 'GET', '/v1/openapi.json')).body as unknown as OpenApiDocument
    const manifestSchema = (await app.must(undefined, 'GET', '/v1/manifest-schema.json')).body
    const { rows } = await sweep(app, document, gate)
    return {
      'openapi.json': `${JSON.stringify(document, null, 2)}\n`,
      'openapi.d.ts': declareTypes(document),
      'docs/permissions.md': showTable(rows),
      'docs/berth.schema.json': `${JSON.stringify(manifestSchema, null, 2)}\n`,
    }
  } finally {
    await app.close()
  }
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await generate())) {
    await writeFile(new URL(`../../${path}`, import.meta.url), text)
  }
}
