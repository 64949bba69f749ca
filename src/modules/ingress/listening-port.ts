import { createServer } from 'node:net'
import { systemCodeOf } from '../../lib/errors.ts'
import { portForbidden, portInUse } from './worker-process.ts'

/** The port on which workers are to listen: `wanted`, or one of the system's choice for 0. `own` are ports that our workers hold. */
export async function chooseHttpPort(
  address: string,
  wanted: number,
  own: readonly number[],
): Promise<number> {
  return await choosePort(address, wanted, own, 'BERTH_HTTP_PORT')
}

/** The same for TLS. */
export async function chooseHttpsPort(
  address: string,
  wanted: number,
  own: readonly number[],
): Promise<number> {
  return await choosePort(address, wanted, own, 'BERTH_HTTPS_PORT')
}

async function choosePort(
  address: string,
  wanted: number,
  own: readonly number[],
  setting: string,
): Promise<number> {
  if (wanted === 0 && own[0] !== undefined) return own[0]
  // Listening beside our own workers, even for a moment, would take connections from them.
  if (own.includes(wanted)) return wanted
  try {
    return await probePort(address, wanted)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'EADDRINUSE') throw portInUse(address, wanted, setting)
    if (code === 'EACCES' || code === 'EPERM') throw portForbidden(address, wanted, setting)
    throw error
  }
}

/**
 * Tries whether `port` is free, by listening on it for a moment without sharing it: a second Berth, or another program that shares
 * its ports, would otherwise get a part of the connections. Gives the number that the system chose for port 0.
 */
async function probePort(bindAddress: string, port: number): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: bindAddress, port, exclusive: true }, resolve)
  })
  const address = server.address()
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  if (address === null || typeof address === 'string') throw new Error('The probe got no TCP port.')
  return address.port
}
