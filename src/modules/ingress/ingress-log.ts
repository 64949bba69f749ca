/** What the control side of the ingress needs of a logger; pino's fits. */
export interface IngressLog {
  info(fields: Record<string, unknown>, message: string): void
  warn(fields: Record<string, unknown>, message: string): void
  error(fields: Record<string, unknown>, message: string): void
}
