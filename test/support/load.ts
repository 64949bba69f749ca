import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const CLIENT = fileURLToPath(new URL('load-client.ts', import.meta.url))

export interface LoadReport {
  sent: number
  seconds: number
  per_second: number
  /** How often each body was answered (its first 40 characters). */
  answers: Record<string, number>
  failed: number
  failures: string[]
}

/** Sends requests to a host name through the ingress from another process until `stop`, which answers what became of them. */
export function startLoad(
  port: number,
  host: string,
  options: { connections: number; perSecond: number },
): { stop(): Promise<LoadReport> } {
  const child = spawn(
    process.execPath,
    [CLIENT, String(port), host, String(options.connections), String(options.perSecond)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  const output = text(child.stdout)
  return {
    stop: async () => {
      child.stdin.end()
      return JSON.parse(await output) as LoadReport
    },
  }
}
