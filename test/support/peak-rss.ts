import { readFileSync } from 'node:fs'

/** The most memory that this program has had, in bytes: what `resourceUsage` tells begins with that of the process that made this one. */
export function peakRss(): number {
  const [, kibibytes = ''] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kibibytes) * 1024
}
