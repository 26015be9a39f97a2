// SPDX-License-Identifier: MIT

// serve-go echo|http|net/http WORKERS BUFFER: the servers of filch-bench's workloads echo and http in Go, on WORKERS processors, for
// bench/serve_go.c, which leaves the socket to accept from in descriptor 3 and the memory of the counter in 4.
//
// echo and http are a goroutine for each connection, as bench/serve_filch.c is a task for each: it reads as if it were alone, up to BUFFER
// bytes at a time, and writes back. http parses requests by the rules that http_parser(3) checks for the C servers and answers those that
// have come together with one write. It parses lines in a bufio.Reader, as is usual in Go, and not byte by byte; a line longer than its
// buffer of 4096 bytes is refused.
//
// net/http is the server of the standard library with one handler. It does more than the others: it makes a map of a request's headers
// and parses its URL, and has timeouts, contexts and routing. It is what a program in Go serves with. It is asked to leave the date out,
// so that its replies are those of the others, byte for byte.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	page     = "Hello, World!"
	response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n" + page
	refusal  = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	line     = 4096 // bytes of the longest line in a request
	shortest = "GET / HTTP/1.1\r\n\r\n"
	together = line/len(shortest) + 1
)

var (
	count     *uint64 // all replies'
	responses = bytes.Repeat([]byte(response), together)
)

// ---- echo ----

func echo(conn net.Conn, size int) {
	defer conn.Close()
	buffer := make([]byte, size)
	for {
		got, err := conn.Read(buffer)
		if err != nil {
			return
		}
		atomic.AddUint64(count, uint64(got))
		if _, err = conn.Write(buffer[:got]); err != nil {
			return
		}
	}
}

// ---- http ----

var errSyntax = errors.New("not HTTP")

// The bytes of a token (RFC 9110, 5.6.2).
var tokens = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return
}()

func isToken(text []byte) bool {
	for _, c := range text {
		if !tokens[c] {
			return false
		}
	}
	return len(text) > 0
}

func isTarget(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return len(text) > 0
}

func isValue(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

type request struct {
	close, chunked bool
	length         int // of the body
}

// readLine returns the next line without its end, valid until the next read.
func readLine(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		err = errSyntax
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), err
}

func isMethod(text []byte) bool {
	switch string(text) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH":
		return true
	}
	return false
}

func (r *request) begin(text []byte) error {
	method, rest, _ := bytes.Cut(text, []byte(" "))
	target, version, found := bytes.Cut(rest, []byte(" "))
	if !found || !isMethod(method) || !isTarget(target) {
		return errSyntax
	}
	switch string(version) {
	case "HTTP/1.1":
		*r = request{}
	case "HTTP/1.0":
		*r = request{close: true}
	default:
		return errSyntax
	}
	return nil
}

func (r *request) header(text []byte) error {
	name, value, found := bytes.Cut(text, []byte(":"))
	if !found || !isToken(name) || !isValue(value) {
		return errSyntax
	}
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Connection")):
		for _, option := range bytes.Split(value, []byte(",")) {
			option = bytes.TrimSpace(option)
			if bytes.EqualFold(option, []byte("close")) {
				r.close = true
			} else if bytes.EqualFold(option, []byte("keep-alive")) {
				r.close = false
			}
		}
	case bytes.EqualFold(name, []byte("Content-Length")):
		length, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil {
			return errSyntax
		}
		r.length = int(length)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		r.chunked = bytes.EqualFold(value, []byte("chunked"))
	}
	return nil
}

// skipChunks reads over a body in chunks and what trails it.
func skipChunks(in *bufio.Reader) error {
	for {
		text, err := readLine(in)
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(text, []byte(";"))
		length, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil {
			return errSyntax
		}
		if length == 0 {
			break
		}
		if _, err = in.Discard(int(length)); err != nil {
			return err
		}
		if text, err = readLine(in); err != nil {
			return err
		} else if len(text) > 0 {
			return errSyntax
		}
	}
	for {
		if text, err := readLine(in); err != nil || len(text) == 0 {
			return err
		}
	}
}

func (r *request) read(in *bufio.Reader) error {
	text, err := readLine(in)
	for err == nil && len(text) == 0 { // lines between requests
		text, err = readLine(in)
	}
	if err == nil {
		err = r.begin(text)
	}
	for err == nil {
		if text, err = readLine(in); err != nil || len(text) == 0 {
			break
		}
		err = r.header(text)
	}
	if err == nil && r.chunked {
		return skipChunks(in)
	}
	if err == nil {
		_, err = in.Discard(r.length)
	}
	return err
}

// A client is read from when the bufio.Reader has nothing left: then what is ready is sent.
type client struct {
	net.Conn
	ready int
}

func (c *client) flush() error {
	if c.ready == 0 {
		return nil
	}
	atomic.AddUint64(count, uint64(c.ready))
	_, err := c.Write(responses[:c.ready*len(response)])
	c.ready = 0
	return err
}

func (c *client) Read(buffer []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(buffer)
}

func serve(conn net.Conn) {
	defer conn.Close()
	var r request
	var err error
	c := client{Conn: conn}
	in := bufio.NewReaderSize(&c, line)
	for err == nil && !r.close {
		if err = r.read(in); err == nil {
			c.ready++
		}
	}
	if c.flush() == nil && err == errSyntax {
		conn.Write([]byte(refusal))
	}
}

// ---- net/http ----

func hello(reply http.ResponseWriter, _ *http.Request) {
	atomic.AddUint64(count, 1)
	reply.Header()["Date"] = nil
	reply.Header().Set("Content-Type", "text/plain")
	io.WriteString(reply, page)
}

// ---- main ----

func listener() net.Listener {
	file := os.NewFile(3, "listener")
	defer file.Close()
	listener, err := net.FileListener(file)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func acceptAll(listener net.Listener, handle func(net.Conn)) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go handle(conn)
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("serve-go: ")
	if len(os.Args) != 4 {
		log.Fatal("usage: serve-go echo|http|net/http WORKERS BUFFER, with a socket in descriptor 3 and a counter in 4")
	}
	workers, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	size, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	memory, err := syscall.Mmap(4, 0, int(unsafe.Sizeof(*count)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		log.Fatal("counter: ", err)
	}
	count = (*uint64)(unsafe.Pointer(&memory[0]))
	runtime.GOMAXPROCS(workers)
	switch os.Args[1] {
	case "echo":
		err = acceptAll(listener(), func(conn net.Conn) { echo(conn, size) })
	case "http":
		err = acceptAll(listener(), serve)
	case "net/http":
		err = http.Serve(listener(), http.HandlerFunc(hello))
	default:
		err = errors.New("there is no server " + os.Args[1])
	}
	log.Fatal(err)
}
