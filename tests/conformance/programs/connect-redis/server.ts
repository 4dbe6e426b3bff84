// Stands for a file of connect-redis' repository that its package leaves out: that one starts a server, here one is there already.
export const port = "6379"
export async function connect() {}
export async function disconnect() {}
