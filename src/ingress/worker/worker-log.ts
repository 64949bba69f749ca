import { closeSync, fstatSync, openSync, renameSync, statSync, write } from 'node:fs'
import { messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { WorkerLog } from './worker-context.ts'

const MAX_FILE_BYTES = 1024 * 1024
const MAX_LINE_LENGTH = 2000
/** Lines between two ticks; the rest is counted. A failing application must not fill the disk. */
const MAX_LINES = 20
const STANDARD_ERROR = 2

/** The log file that all workers share. */
export interface WorkerLogFile {
  log: WorkerLog
  /** Every second or so: allows new lines, turns a full file over, follows one that another worker turned over. */
  tick(): void
}

/** Appends JSON lines to `path`, bounded in rate, with one older file beside it. Losing lines is better than waiting for a disk. */
export function createWorkerLog(path: string, system: System): WorkerLogFile {
  let descriptor = openLog(path)
  let room = MAX_LINES
  let lost = 0
  let underWay = 0

  /** A line that stands for so many; those that a full disk does not take are lost, too. */
  const put = (event: string, fields: Record<string, string | number>, lines: number): void => {
    const line = JSON.stringify({ time: system.nowIso(), pid: process.pid, event, ...fields })
    if (descriptor === undefined) return
    underWay += 1
    write(descriptor, `${line.slice(0, MAX_LINE_LENGTH)}\n`, (error) => {
      underWay -= 1
      if (error) lost += lines
    })
  }

  return {
    log: (event, fields = {}) => {
      if (room <= 0) lost += 1
      else {
        room -= 1
        put(event, fields, 1)
      }
    },
    tick: () => {
      // Closed under a write, its number could be a connection's by the time that the line is written.
      if (underWay === 0) descriptor = turnOver(path, descriptor)
      if (lost > 0) put('lines_lost', { count: lost }, lost)
      lost = 0
      room = MAX_LINES
    },
  }
}

function openLog(path: string): number | undefined {
  try {
    return openSync(path, 'a', 0o600)
  } catch {
    // Without its directory a worker has nowhere to tell; it goes on serving and ends itself soon after.
    return undefined
  }
}

function turnOver(path: string, descriptor: number | undefined): number | undefined {
  if (descriptor === undefined) return openLog(path)
  try {
    const own = fstatSync(descriptor)
    const there = statSync(path, { throwIfNoEntry: false })
    if (there?.ino === own.ino && own.size < MAX_FILE_BYTES) return descriptor
    if (there?.ino === own.ino) renameSync(path, `${path}.1`)
    closeSync(descriptor)
  } catch (error) {
    // Not by process.stderr, which throws later when it cannot: that is the same file.
    write(STANDARD_ERROR, `ingress log: ${messageOf(error)}\n`, ignore)
  }
  return openLog(path)
}

function ignore(): void {}
