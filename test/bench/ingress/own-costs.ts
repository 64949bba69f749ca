import type { Route } from '../../../src/ingress/contract/route-table.ts'
import { cpuMsOf, runClient } from './bench-process.ts'
import type { startBerth } from './bench-targets.ts'

/** What a route may have besides replicas, by the name that its hostname begins with. */
const KINDS: Record<string, Pick<Route, 'service_id' | 'rules'>> = {
  // A route without a service is in no log.
  plain: { service_id: '' },
  logged: { service_id: 'service' },
  'logged-with-rules': {
    service_id: 'service',
    rules: {
      deny: ['192.0.2.0/24', '198.51.100.0/24'],
      redirects: [{ path: '/old', to: '/new', status: 308, exact: false }],
      request_headers: { set: { 'X-Plan': 'one' }, remove: ['X-Debug'] },
      response_headers: { set: { 'X-Frame-Options': 'DENY' }, remove: ['Server'] },
      sticky: true,
    },
  },
}

/** Prints what the access log and rules cost for each small request: the same ingress, by hostnames in turn. */
export async function showOwnCosts(
  { ingress, port, pid }: Awaited<ReturnType<typeof startBerth>>,
  application: number,
  rounds: number,
  seconds: number,
): Promise<void> {
  const upstreams = [{ id: 'replica', address: '127.0.0.1', port: application, deployment_id: 'deployment' }]
  const routes: Route[] = []
  for (const [kind, { service_id, rules }] of Object.entries(KINDS)) {
    const route: Route = { hostname: `${kind}.localhost`, label: 'demo/app', service_id, upstreams }
    if (rules !== undefined) route.rules = rules
    routes.push(route)
  }
  await ingress.publish(routes)
  const spent = new Map<string, number[]>(Object.keys(KINDS).map((kind) => [kind, []]))
  for (let round = 0; round <= rounds; round += 1) {
    for (const [kind, micros] of spent) {
      const before = await cpuMsOf(pid)
      const host = `Host: ${kind}.localhost`
      const url = `http://127.0.0.1:${port}/`
      const output = await runClient(['wrk', '-t1', '-c64', `-d${seconds}s`, '-H', host, url])
      if (output.includes('Non-2xx')) throw new Error(output)
      const requests = Number(/(\d+) requests in/.exec(output)?.[1])
      if (round > 0) micros.push((((await cpuMsOf(pid)) - before) * 1000) / requests)
    }
  }
  console.log('\nsmall requests by what their route has; CPU us/request, each round')
  for (const [kind, micros] of spent)
    console.log(`${kind.padEnd(20)} ${micros.map((each) => each.toFixed(1)).join(' ')}`)
}
