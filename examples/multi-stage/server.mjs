import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const page = readFileSync(new URL('page.txt', import.meta.url))
const server = createServer((request, response) => {
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(request.url === '/healthz' ? 'ok\n' : page)
})

server.listen(Number(process.env.PORT ?? 8080))
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
