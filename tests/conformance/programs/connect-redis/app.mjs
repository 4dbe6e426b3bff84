// An Express application with its sessions in connect-redis.
import express from "express"
import session from "express-session"
import {RedisStore} from "connect-redis"
import {createClient} from "redis"

const client = createClient({url: "redis://127.0.0.1:6379", disableOfflineQueue: true})
client.on("error", (error) => console.error(`redis: ${error.message}`))
await client.connect()

const app = express()
app.use(session({store: new RedisStore({client}), secret: "conformance", resave: false, saveUninitialized: false}))

app.post("/", (request, response, next) => {
  request.session.number = Number(request.query.number)
  // Without this it is saved after the answer is ready, and an error comes too late for it.
  request.session.save((error) => (error ? next(error) : response.send("saved")))
})

app.get("/", (request, response) => {
  const {number} = request.session
  if (number === undefined) return response.sendStatus(404)
  response.send(String(number))
})

app.listen(8080, "127.0.0.1")
