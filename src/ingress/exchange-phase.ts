/** How far an exchange is, which decides what its deadline means. */
export const CONNECTING = 0
/** The application has been asked whether it wants the body. */
export const ASKING = 1
export const SENDING = 2
export const WAITING = 3
export const ANSWERING = 4
