module conformance

go 1.24.0

tool gotest.tools/gotestsum

require (
	github.com/alexedwards/scs/redisstore v0.0.0-20251002162104-209de6e426de
	github.com/boj/redistore v1.4.1
	github.com/gorilla/sessions v1.4.0
	github.com/rbcervilla/redisstore/v9 v9.0.0
	github.com/redis/go-redis/v9 v9.0.2
	gotest.tools/gotestsum v1.13.0
)
