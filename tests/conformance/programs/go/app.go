// A web application with its sessions in a store of gorilla/sessions: redisstore (go-redis), or redistore (redigo) if it is started with that word.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	// Only its tests are run.
	_ "github.com/alexedwards/scs/redisstore"
	"github.com/boj/redistore"
	"github.com/gorilla/sessions"
	"github.com/rbcervilla/redisstore/v9"
	"github.com/redis/go-redis/v9"
)

func open() (sessions.Store, error) {
	if len(os.Args) > 1 && os.Args[1] == "redistore" {
		return redistore.NewRediStore(10, "tcp", "127.0.0.1:6379", "", "", []byte("conformance"))
	}
	return redisstore.NewRedisStore(context.Background(), redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"}))
}

func main() {
	store, err := open()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "session")
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		session.Values["number"], _ = strconv.Atoi(r.FormValue("number"))
		if err := session.Save(r, w); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "session")
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		number, ok := session.Values["number"]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, number)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
