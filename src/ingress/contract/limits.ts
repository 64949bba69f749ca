/**
 * Every bound of the data plane. Times are in milliseconds. The defaults suit production; tests hand in shorter ones.
 */
export interface IngressLimits {
  /** How often deadlines are looked at; each time below is kept to within this. */
  tick_ms: number
  /** From the first byte of a request, or from the connection's start, to the end of its header section. */
  request_head_ms: number
  /** How long a request body may pause. */
  request_body_idle_ms: number
  /** How long an idle client connection stays open. */
  client_keep_alive_ms: number
  /** How long a client may take nothing of an answer that waits for it. */
  client_stall_ms: number
  upstream_connect_ms: number
  /** From the last byte of the request to the response's header section. */
  response_head_ms: number
  /** How long a response body may pause. Server-sent events with a rare heartbeat live inside this. */
  response_body_idle_ms: number
  /** How long an idle upstream connection is kept when the application names no shorter time. Node closes its own after 5 s. */
  upstream_idle_ms: number
  /** An application that ignores `Expect: 100-continue` gets the body after this. */
  continue_ms: number
  /** An upstream that refused a connection is passed over for this long, doubling up to eight times that. */
  ejection_ms: number
  /** How long the other direction of an upgraded connection may outlive the first that ended. */
  half_closed_ms: number
  /** The control plane is told so often of requests that wait for a replica. */
  held_report_ms: number
  /** A replica counts as active so long after its last request. */
  active_ms: number
  /** SIGTERM: how long running requests and upgraded connections may take to end. */
  drain_ms: number
  /** A draining worker closes idle client connections after this; one that asks again before is answered and told to close. */
  drain_idle_ms: number
  /** How long the data directory may be gone before the worker ends itself. */
  orphan_ms: number
  request_header_bytes: number
  request_header_count: number
  request_target_bytes: number
  response_header_bytes: number
  response_header_count: number
  /** Idle connections kept for each upstream in each worker. */
  upstream_idle_connections: number
  /** Open client connections of one worker. */
  client_connections: number
  /** Certificates that each worker keeps ready for handshakes: about 30 KiB each. */
  certificate_contexts: number
  /** Streams that a client may have open at once on one HTTP/2 connection. */
  http2_streams: number
  /** What nghttp2 may keep in memory for one HTTP/2 connection, in MiB. */
  http2_session_mib: number
  /** Requests that may wait for a replica of one service in each worker. */
  held_requests: number
  /** How much of a request body is read and thrown away so that the client gets to see an early answer. */
  discarded_body_bytes: number
}

export const DEFAULT_LIMITS: IngressLimits = {
  tick_ms: 250,
  request_head_ms: 15_000,
  request_body_idle_ms: 60_000,
  client_keep_alive_ms: 60_000,
  client_stall_ms: 120_000,
  upstream_connect_ms: 5_000,
  response_head_ms: 300_000,
  response_body_idle_ms: 600_000,
  upstream_idle_ms: 4_000,
  continue_ms: 1_000,
  ejection_ms: 1_000,
  half_closed_ms: 30_000,
  held_report_ms: 1_000,
  active_ms: 10_000,
  drain_ms: 30_000,
  drain_idle_ms: 3_000,
  orphan_ms: 10_000,
  request_header_bytes: 32 * 1024,
  request_header_count: 200,
  request_target_bytes: 16 * 1024,
  response_header_bytes: 64 * 1024,
  response_header_count: 500,
  upstream_idle_connections: 256,
  client_connections: 16_384,
  certificate_contexts: 512,
  http2_streams: 128,
  http2_session_mib: 8,
  held_requests: 1_000,
  discarded_body_bytes: 1024 * 1024,
}
