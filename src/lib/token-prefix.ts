/** The visible beginning of each kind of token, so that a leaked one is recognised. */
export const TOKEN_PREFIXES = {
  admin: 'bth_adm_',
  session: 'bth_ses_',
  api: 'bth_pat_',
  registry: 'bth_reg_',
} as const

/** Whether a text means to be a token, good or not. */
export function looksLikeToken(text: string): boolean {
  return Object.values(TOKEN_PREFIXES).some((prefix) => text.startsWith(prefix))
}
