/**
 * A load generator in a process of its own: keep-alive connections that send GET requests one after the other, at a set rate, until
 * standard input ends; then it prints what it counted. Arguments: port, Host, connections, requests a second.
 */
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

const [port, host, connections, rate] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: Number(connections) })
const pauseMs = (1000 * Number(connections)) / Number(rate)
const answers: Record<string, number> = {}
const failures: string[] = []
let sent = 0
const state = { running: true }

function get(): Promise<string> {
  return new Promise((resolve) => {
    const call = request(
      { host: '127.0.0.1', port: Number(port), headers: { host }, agent, timeout: 30_000 },
      (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => (body += chunk.toString()))
        response.on('end', () => {
          if (response.statusCode !== 200) failures.push(`${response.statusCode} ${body.slice(0, 100)}`)
          resolve(body.slice(0, 40))
        })
        response.on('error', (error) => {
          failures.push(`body: ${error.message}`)
          resolve('')
        })
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer in 30 s')))
    call.on('error', (error) => {
      failures.push(error.message)
      resolve('')
    })
    call.end()
  })
}

async function connection(): Promise<void> {
  let next = performance.now() + Math.random() * pauseMs
  while (state.running) {
    await delay(Math.max(0, next - performance.now()))
    next += pauseMs
    sent += 1
    const body = await get()
    answers[body] = (answers[body] ?? 0) + 1
  }
}

process.stdin.on('end', () => {
  state.running = false
})
process.stdin.resume()
const begin = performance.now()
await Promise.all(Array.from({ length: Number(connections) }, connection))
const seconds = (performance.now() - begin) / 1000
agent.destroy()
process.stdout.write(
  `${JSON.stringify({ sent, seconds, per_second: sent / seconds, answers, failed: failures.length, failures: failures.slice(0, 10) })}\n`,
)
