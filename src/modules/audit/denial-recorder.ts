import type { System } from '../../lib/system.ts'
import { type Denial, DeniedInProject, RefusedLogin } from '../identity/authorize.ts'
import type { AuditContext, AuditEntry, RecordAudit } from './audit.ts'

/** Keeps refusals in the audit log without letting a flood of them fill the disk. None of its functions throws: whoever is refused gets the refusal. */
export interface DenialRecorder {
  /** Records the first of its kind in a minute at once, and at the minute's end how many more there were. What cannot be written is counted until it can. */
  record(denial: Denial): void
  /** Records what is still only counted. */
  flush(): void
}

const WINDOW_MS = 60_000
/** Kinds of refusal (who, what, why) that get events of their own in a minute; the rest shares one. */
const MAX_KINDS = 30

export function createDenialRecorder(
  system: System,
  record: RecordAudit,
  onError: (error: unknown) => void,
): DenialRecorder {
  const kinds = new Map<string, { denial: Denial; more: number }>()
  let others = 0
  let cancel: (() => void) | undefined

  const isWritten = (...event: Parameters<RecordAudit>): boolean => {
    try {
      record(...event)
      return true
    } catch (error) {
      onError(error)
      return false
    }
  }

  const flush = (): void => {
    cancel?.()
    cancel = undefined
    for (const [kind, { denial, more }] of kinds) {
      if (more === 0 || isWritten(contextOf(denial), entryOf(denial, { repeated: more }))) kinds.delete(kind)
    }
    const details = { repeated: others }
    if (others > 0 && isWritten(NOBODY, { action: 'otherDenials', outcome: 'denied', details })) others = 0
  }

  const endWindow = (): void => {
    flush()
    if (kinds.size > 0 || others > 0) cancel = system.later(WINDOW_MS, endWindow)
  }

  return {
    record: (denial) => {
      cancel ??= system.later(WINDOW_MS, endWindow)
      const kind = [
        denial.context?.actor.name ?? denial.client_address,
        denial.action,
        denial.error.code,
        denial.error.permission,
        ...targetOf(denial),
      ].join(' ')
      const known = kinds.get(kind)
      if (known) known.more += 1
      else if (kinds.size >= MAX_KINDS) others += 1
      else {
        kinds.set(kind, { denial, more: isWritten(contextOf(denial), entryOf(denial, {})) ? 0 : 1 })
      }
    },
    flush,
  }
}

const UNKNOWN = { via: 'unknown', user_id: null, token_id: null, name: 'unknown' } as const
const NOBODY: AuditContext = { actor: UNKNOWN, request_id: null, client_address: null }

/** Whose account or project was tried: attempts on one must not hide those on another. */
function targetOf({ error: { cause } }: Denial): (string | undefined)[] {
  if (cause instanceof RefusedLogin) return [cause.user?.id]
  return cause instanceof DeniedInProject ? [cause.project_id, cause.permission] : []
}

function contextOf({ context, request_id, client_address }: Denial): AuditContext {
  return context ?? { actor: UNKNOWN, request_id, client_address }
}

function entryOf({ action, error }: Denial, more: { repeated?: number }): AuditEntry {
  const { cause, code, permission } = error
  const details = { code, ...(permission === undefined ? {} : { permission }), ...more }
  if (cause instanceof RefusedLogin && cause.user) {
    const resource = { resource_kind: 'user', resource_id: cause.user.id }
    return { action, outcome: 'denied', ...resource, details: { ...details, username: cause.user.username } }
  }
  if (cause instanceof DeniedInProject) {
    const refused = { ...details, permission: cause.permission }
    return {
      action,
      outcome: 'denied',
      resource_kind: 'project',
      project_id: cause.project_id,
      details: refused,
    }
  }
  return { action, outcome: 'denied', details }
}
