// The application in Express, with its sessions in connect-redis. Each view writes the cart in the session; the end of the answer leaves when
// express-session has saved it.
import express from "express"
import session from "express-session"
import {RedisStore} from "connect-redis"
import {createClient} from "redis"

const LENGTH = 1024
const DIGITS = 12
const PATIENCE_MS = 5000

const client = createClient({url: process.env.REDIS_URL})
client.on("error", (error) => console.error(`redis: ${error.message}`))
await client.connect()

// The same client with one difference: a write is answered when a replica has it. Both commands are sent in one go.
const waiting = {
  get: (key) => client.get(key),
  set: async (...write) => {
    const [answer, copies] = await Promise.all([client.set(...write), client.wait(1, PATIENCE_MS)])
    if (copies < 1) throw new Error("no replica has the write")
    return answer
  }
}

const app = express()
const store = new RedisStore({client: process.env.WAIT_FOR_COPY === "1" ? waiting : client})
app.use(session({store, secret: "bench", resave: false, saveUninitialized: false}))

app.get("/", (request, response) => {
  const views = (request.session.cart ? Number(request.session.cart.slice(0, DIGITS)) : 0) + 1
  const cart = `${String(views).padStart(DIGITS, "0")};`.padEnd(LENGTH, "x")
  request.session.cart = cart
  response.send(`<p>View ${views}, a cart of ${cart.length} characters.</p>\n`)
})

// express-session tells of a failed write only when the answer is on its way: whoever asked has to see that it failed, so the application ends.
app.use((error, request, response, next) => {
  console.error(error)
  process.exit(1)
})

app.listen(process.env.PORT, "127.0.0.1")
