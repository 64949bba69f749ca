import { MAX_SET_LENGTH, type PushRequest, type SetName } from '../../ingress/contract/control-protocol.ts'
import { AppError } from '../../lib/errors.ts'
import type { Refusal } from './fleet-push.ts'
import { hasSetFile, readSetFile, writeSetFile } from './set-file.ts'

/** One of the sets that workers are handed whole, by version: how it is written, read and told. */
export interface SetKind<S extends { version: number }, I> {
  name: SetName
  file: string
  empty: S
  parse(value: unknown): S | undefined
  make(version: number, items: readonly I[]): S
  itemsOf(set: S): readonly I[]
  /** As files and sockets have it; what `parse` reads. */
  pack(set: S): object
  request(set: S): PushRequest
}

export interface PublishedSet<S, I> {
  readonly name: SetName
  current(): S
  /** What a worker that has an older one is to be told. */
  request(): PushRequest
  /** Reads what was written last. `running` are the versions that workers serve: none may be used again. */
  open(running: readonly number[]): Promise<void>
  /**
   * Replaces the set on disk, then in every worker, and gives its version. The same items again publish nothing. Where the disk does not take it, the workers
   * get it all the same and then this rejects: one that is started meanwhile has the older set until it is told.
   */
  publish(items: readonly I[]): Promise<number>
  /** Writes the file anew if someone removed it, or if it is older than what the workers have. */
  ensureFile(): Promise<void>
  /** Publishes nothing more, and waits for what is under way. */
  close(): Promise<void>
}

/** Creates the control side of one set; `push` hands all sets to all workers. */
export function createPublishedSet<S extends { version: number }, I>(
  directory: string,
  kind: SetKind<S, I>,
  push: () => Promise<readonly Refusal[]>,
): PublishedSet<S, I> {
  let set = kind.empty
  /** Workers may serve something else than `set` says: the next one goes out in any case. */
  let uncertain = false
  let opened = false
  /** Why the file is older than the set. */
  let unwritten: { reason: unknown } | undefined
  let last: Promise<unknown> = Promise.resolve()

  /** One of these at a time: an older file must not take the place of a newer one. */
  const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }

  const write = async (text: string): Promise<void> => {
    try {
      await writeSetFile(directory, kind.file, text)
      unwritten = undefined
    } catch (reason) {
      unwritten = { reason }
    }
  }

  const requireWritten = async (): Promise<void> => {
    if (unwritten) await write(textOf(set))
    if (unwritten) throw unwritten.reason
  }

  const publish = async (items: readonly I[]): Promise<number> => {
    if (!opened) throw new AppError('STARTING')
    // Version 0 means to a worker that nothing was published yet.
    const known = !uncertain && set.version > 0
    if (known && textOf(kind.make(set.version, items)) === textOf(set)) {
      await requireWritten()
      return set.version
    }
    const packed = kind.pack(kind.make(set.version + 1, items))
    const next = kind.parse(packed)
    if (next === undefined) throw new Error(`The ${kind.name} to publish are not valid.`)
    const text = JSON.stringify(packed)
    if (text.length > MAX_SET_LENGTH)
      throw new Error(`The ${kind.name} are longer than the ${MAX_SET_LENGTH} characters that workers take.`)
    await write(text)
    set = next
    // Until everyone has it, the same items are to be handed over again.
    uncertain = true
    const refusing = (await push()).filter(({ name }) => name === kind.name).map(({ pid }) => pid)
    if (refusing.length > 0)
      throw new Error(`The ingress workers ${refusing.join(', ')} refuse the ${kind.name}; see the log.`)
    uncertain = false
    if (unwritten) throw unwritten.reason
    return next.version
  }

  const textOf = (each: S): string => JSON.stringify(kind.pack(each))

  return {
    name: kind.name,
    current: () => set,
    request: () => kind.request(set),
    open: async (running) => {
      const written = kind.parse(await readSetFile(directory, kind.file, kind.empty))
      const version = Math.max(written?.version ?? 0, ...running)
      uncertain = written === undefined || written.version < version
      set = kind.make(version, written === undefined ? [] : kind.itemsOf(written))
      if (uncertain || version === 0) await write(textOf(set))
      // Workers that run have one, and the file follows; without either nobody can begin.
      if (version === 0 && unwritten) throw unwritten.reason
      opened = true
    },
    publish: (items) => inOrder(() => publish(items)),
    ensureFile: () =>
      inOrder(async () => {
        if (!(await hasSetFile(directory, kind.file))) await write(textOf(set))
        await requireWritten()
      }),
    close: async () => {
      opened = false
      await last
    },
  }
}
