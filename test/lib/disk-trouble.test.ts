import { test } from 'tap'
import { sparing } from '../../src/lib/disk-trouble.ts'
import { AppError } from '../../src/lib/errors.ts'

const failed = (code: string) => Object.assign(new Error(code), { code })

test('want of room is told of once a minute, everything else each time', async (t) => {
  let now = 0
  const told: string[] = []
  const tell = sparing({ monotonic: () => now }, (error, full) =>
    told.push(`${(error as Error).message} ${full?.code}`),
  )
  for (const code of ['SQLITE_FULL', 'ENOSPC', 'EIO', 'EIO']) tell(failed(code))
  tell(new AppError('DISK_FULL'))
  t.same(told, ['SQLITE_FULL DISK_FULL', 'EIO undefined', 'EIO undefined'])
  now += 60_000
  tell(failed('ENOSPC'))
  t.equal(told.at(-1), 'ENOSPC DISK_FULL')
})
