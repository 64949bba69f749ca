import { readFile, writeFile } from 'node:fs/promises'
import { messageOf } from '../../lib/errors.ts'
import type { IngressLog } from './ingress-log.ts'

/** Linux 5.14 and later, one for each network namespace. */
const SETTING = '/proc/sys/net/ipv4/tcp_migrate_req'

/**
 * Lets connections that a worker has not accepted yet move to another worker when it closes its listener or dies. Without this
 * setting the kernel resets them: about two for each worker that is replaced under a thousand new connections a second.
 */
export async function allowListenerMigration(log: IngressLog): Promise<void> {
  try {
    if ((await readFile(SETTING, 'utf8')).trim() !== '0') return
    await writeFile(SETTING, '1')
    log.info({ setting: SETTING }, 'waiting connections move to another ingress worker when one ends')
  } catch (error) {
    log.warn(
      { setting: SETTING, error: messageOf(error) },
      'a few new connections may be reset whenever an ingress worker is replaced: net.ipv4.tcp_migrate_req cannot be set',
    )
  }
}
