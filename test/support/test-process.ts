/**
 * Loaded into every test process before all else (`test-env` in .taprc). tap's process-info records what each process loads, for coverage
 * and `--changed`, which nobody uses here, and gets itself by NODE_OPTIONS into every child: daemons, commands and ingress workers, which
 * start with twice the time and more memory for it. Told to keep to nothing, it leaves children as they are in use.
 */
import { resolve } from 'node:path'

process.env['_TAPJS_PROCESSINFO_EXCLUDE_'] = '/./'
process.env['__TAPJS_PROCESSINFO_TESTING_NO_REGISTER__'] = String(process.pid)
delete process.env['NODE_OPTIONS']
const cache = process.env['NODE_COMPILE_CACHE']
// Children may stand in another folder.
if (cache !== undefined) process.env['NODE_COMPILE_CACHE'] = resolve(cache)
