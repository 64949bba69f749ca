import { test } from 'tap'
import { chooseCertificates } from '../../../src/modules/certificates/certificate-plan.ts'
import type { CertificateRow } from '../../../src/modules/certificates/certificate-schema.ts'

const NOW = '2026-06-01T00:00:00.000Z'
const NAMES = [{ hostname: 'shop.example.com', project_id: 'shop', wanted: true, self_signed: false }]

function upload(id: string, createdAt: string, notBefore: string, notAfter: string): CertificateRow {
  const row: Partial<CertificateRow> = {
    id,
    project_id: 'shop',
    source: 'upload',
    hostname: 'shop.example.com',
    hostnames: ['shop.example.com'],
    file_id: id,
    created_at: createdAt,
    not_before: notBefore,
    not_after: notAfter,
  }
  return row as CertificateRow
}

const YEAR = upload('year', '2026-02-01', '2026-02-01', '2027-02-01')

test('of several uploads the newest serves, also where another one holds longer', async (t) => {
  const month = upload('month', '2026-05-31', '2026-05-31', '2026-06-30')
  const chosen = (...rows: CertificateRow[]) =>
    chooseCertificates(NAMES, rows, NOW).get('shop.example.com')?.id
  t.equal(chosen(YEAR, month), 'month')
  t.equal(chosen(month, YEAR), 'month')
  t.equal(chosen(YEAR, { ...month, not_after: '2026-05-31T12:00:00.000Z' }), 'year', 'until it has expired')
  const later = upload('later', '2026-05-31', '2026-06-02', '2027-06-02')
  t.equal(chosen(YEAR, later), 'year', 'one that does not hold yet waits')
  t.equal(chosen(later), 'later', 'unless there is no other')
  t.equal(chosen(month, { ...month, id: 'month-2' }), 'month-2', 'in one instant the later id')
})
