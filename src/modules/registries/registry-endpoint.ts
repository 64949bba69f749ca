import { isIP } from 'node:net'
import { DEFAULT_HOST } from '../../lib/image-reference.ts'

export const DOCKER_HUB = 'https://registry-1.docker.io'

/** The origin at which a registry answers, from what people write: a host, or an address with its protocol. Undefined for what is none. */
export function readEndpoint(text: string): string | undefined {
  const url = URL.parse(text.includes('://') ? text : `${isLoopback(text) ? 'http' : 'https'}://${text}`)
  if (url === null || url.hostname === '' || url.username !== '' || url.password !== '') return undefined
  if (url.pathname.replace(/^\/(v2\/?)?$/, '') !== '' || url.search !== '' || url.hash !== '')
    return undefined
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.host))) return undefined
  return [DEFAULT_HOST, `index.${DEFAULT_HOST}`].includes(url.host) ? DOCKER_HUB : url.origin
}

/** Whether a host, perhaps with a port, is this machine: there plain HTTP is as good, and what engines take without being told. */
function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'))
}
