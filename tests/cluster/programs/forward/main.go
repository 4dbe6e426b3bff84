// Command forward carries TCP connections from the host into a network namespace of the lab. It is started inside the
// namespace and inherits, as file descriptor 1, a socket that already listens on the host's loopback: so it accepts on one
// side and dials on the other without a route between them. With -lifeline it ends when its standard input does, so that it
// does not outlive the program that wanted it.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"os"
	"time"
)

const (
	// A Service's address leads each attempt to another backend, so a short attempt steps over a backend on a lost node.
	attempt = time.Second
	budget  = 10 * time.Second
	pause   = 100 * time.Millisecond
)

func main() {
	to := flag.String("to", "", "address to dial, host:port")
	lifeline := flag.Bool("lifeline", false, "end when standard input ends")
	flag.Parse()
	if *to == "" {
		log.Fatal("-to is required: the address to dial, host:port")
	}
	listener, err := net.FileListener(os.NewFile(1, "listener"))
	if err != nil {
		log.Fatalf("file descriptor 1 is not a listening socket: %v", err)
	}
	if *lifeline {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Printf("failed to accept a connection: %v", err)
			time.Sleep(pause)
			continue
		}
		go carry(client.(*net.TCPConn), *to)
	}
}

// carry joins one client with the address until both directions have ended or one of them failed.
func carry(client *net.TCPConn, to string) {
	defer client.Close()
	backend, err := dial(to)
	if err != nil {
		log.Printf("failed to reach %s: %v", to, err)
		client.SetLinger(0)
		return
	}
	defer backend.Close()
	failed := make(chan bool, 2)
	go copyHalf(backend, client, failed)
	go copyHalf(client, backend, failed)
	if <-failed || <-failed {
		// A reset on one side is a reset on the other: a clean end would say that the answer was complete.
		client.SetLinger(0)
		backend.SetLinger(0)
	}
}

// copyHalf copies one direction and passes its end on; it reports whether the direction failed.
func copyHalf(to, from *net.TCPConn, failed chan<- bool) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	failed <- err != nil
}

func dial(to string) (*net.TCPConn, error) {
	dialer := net.Dialer{
		Timeout: attempt,
		// A connection to a node that is gone must end some day: 25 s, well beyond a frozen process (its kernel still answers).
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 4},
	}
	for until := time.Now().Add(budget); ; {
		connection, err := dialer.Dial("tcp", to)
		if err == nil {
			return connection.(*net.TCPConn), nil
		}
		if time.Now().After(until) {
			return nil, err
		}
		time.Sleep(pause)
	}
}
