import { createServer } from 'node:http'
import { greet } from 'greeting'

const port = Number(process.env.PORT ?? 3000)

const server = createServer((request, response) => {
  if (request.url === '/healthz') {
    response.end('ok\n')
    return
  }
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`${greet(process.env.GREETING_NAME ?? 'Berth')}\n`)
})

server.listen(port, () => console.log(`listening on port ${port}`))

// Berth sends SIGTERM once the last request has been answered; closing lets keep-alive connections end.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
