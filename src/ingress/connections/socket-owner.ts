import type { Socket } from 'node:net'

export type SocketEvent = 'connect' | 'drain' | 'end' | 'close'

/** Who is told what becomes of a socket. */
export interface SocketOwner {
  onEvent(event: SocketEvent): void
  /** `close` follows. */
  onError(error: Error): void
}

const OWNER = Symbol('owner')
type OwnedSocket = Socket & { [OWNER]: SocketOwner }

/** Tells `owner` of the socket's events, by the same listeners for every socket: closures of their own would be a third of what an idle connection costs. */
export function ownSocket(socket: Socket, owner: SocketOwner): void {
  const owned = Object.assign(socket, { [OWNER]: owner })
  if (owned.connecting) owned.on('connect', onConnect)
  owned.on('drain', onDrain).on('end', onEnd).on('error', onError).on('close', onClose)
}

function onConnect(this: OwnedSocket): void {
  this.off('connect', onConnect)
  this[OWNER].onEvent('connect')
}

function onDrain(this: OwnedSocket): void {
  this[OWNER].onEvent('drain')
}

function onEnd(this: OwnedSocket): void {
  this[OWNER].onEvent('end')
}

function onError(this: OwnedSocket, error: Error): void {
  this[OWNER].onError(error)
}

function onClose(this: OwnedSocket): void {
  this[OWNER].onEvent('close')
}
