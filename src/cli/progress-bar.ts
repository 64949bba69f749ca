import type { System } from '../lib/system.ts'

/** How far a transfer is; `total` grows stale only if the folder changes meanwhile. */
export interface Progress {
  done: number
  total: number
  /** Bytes that went over the network. */
  sent: number
}

export interface ProgressBar {
  /** Removes the bar. */
  stop(): void
}

const REDRAW_MS = 100
const LARGEST_BAR = 30

/** Draws a bar on the terminal and keeps it up to date; without a terminal nothing is drawn. */
export function showProgress(
  stderr: NodeJS.WriteStream,
  system: System,
  enabled: boolean,
  label: string,
  read: () => Progress,
): ProgressBar {
  if (!enabled) return { stop: () => {} }
  const startedAt = system.monotonic()
  const draw = (): void => {
    const line = progressLine(label, read(), system.monotonic() - startedAt, (stderr.columns || 80) - 1)
    stderr.write(`\r${line}\u001B[K`)
    cancel = system.later(REDRAW_MS, draw)
  }
  let cancel: () => void = () => {}
  draw()
  return {
    stop: () => {
      cancel()
      stderr.write('\r\u001B[K')
    },
  }
}

/** `Uploading [=====>    ]  52%  4.1 MiB sent  1.2 MiB/s  3 s left`, cut to the width. */
export function progressLine(
  label: string,
  { done, total, sent }: Progress,
  elapsedMs: number,
  width: number,
): string {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const perSecond = elapsedMs > 0 ? (sent / elapsedMs) * 1000 : 0
  const leftSeconds = share > 0 && share < 1 ? ((elapsedMs / share) * (1 - share)) / 1000 : undefined
  const figures = [
    `${Math.floor(share * 100)}%`.padStart(4),
    `${formatBytes(sent)} sent`,
    `${formatBytes(perSecond)}/s`,
    ...(leftSeconds === undefined || elapsedMs < 1000 ? [] : [`${formatSeconds(leftSeconds)} left`]),
  ].join('  ')
  const room = Math.min(LARGEST_BAR, width - label.length - figures.length - 5)
  if (room < 5) return `${label} ${figures}`.slice(0, Math.max(0, width))
  const filled = Math.round(share * room)
  const bar = `${'='.repeat(filled)}${filled < room ? '>' : ''}`.slice(0, room).padEnd(room)
  return `${label} [${bar}] ${figures}`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `4.1 MiB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes)
  let unit = 0
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** `0.3 s`, `8 s`, `3 min 5 s`, `2 h 10 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.95) return `${Math.max(0, seconds).toFixed(1)} s`
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}
