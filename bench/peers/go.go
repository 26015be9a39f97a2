// SPDX-License-Identifier: MIT

// Go: a task is a goroutine; joins are a sync.WaitGroup, results lie in the parent's frame or, in skynet as its author wrote it, go
// through a channel. Channels are Go's own, a mutex is sync.Mutex, a yield is runtime.Gosched. GOMAXPROCS is --workers.
// The serial parts of sort, matmul, queens and uts are written in Go again: its compiler is compared in them, too.
package main

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var args = map[string]string{}

func text(key, otherwise string) string {
	if value, ok := args[key]; ok {
		return value
	}
	return otherwise
}

func number(key string, otherwise int) int {
	value, err := strconv.ParseFloat(text(key, strconv.Itoa(otherwise)), 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return int(value)
}

func cannot(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(3)
}

// ---- clocks and checks ----

type figure struct {
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

var (
	begin         time.Time
	beginCPU      float64
	value         float64
	wallMs, cpuMs float64
	check         map[string]int64
	more          map[string]figure
	wrong         bool
)

func cpuTime() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
}

func start() {
	beginCPU = cpuTime()
	begin = time.Now()
}

func stop(count int) {
	wall := float64(time.Since(begin))
	cpuMs = cpuTime() - beginCPU
	wallMs = wall / 1e6
	value = wallMs
	if count > 0 {
		value = wall / float64(count)
	}
}

func prove(name string, got, expected int64) {
	check[name] = got
	if got != expected {
		fmt.Fprintf(os.Stderr, "wrong: %s is %d, not %d\n", name, got, expected)
		wrong = true
	}
}

func status(field string) int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, field) {
			kilobytes, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}

// splitmix64, as in bench/util.h
func random(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// ---- fork-join ----

func fib(n int) int {
	if n < 2 {
		return n
	}
	var left int
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		left = fib(n - 1)
		wg.Done()
	}()
	right := fib(n - 2)
	wg.Wait()
	return left + right
}

func fibonacci(n int) int64 {
	a, b := int64(0), int64(1)
	for ; n > 0; n-- {
		a, b = b, a+b
	}
	return a
}

func runFork() {
	n := number("n", 38)
	tasks := fibonacci(n+1) - 1
	start()
	got := fib(n)
	stop(int(tasks))
	prove("fib", int64(got), fibonacci(n))
	prove("tasks", tasks, tasks)
}

func runFlat() {
	tasks := number("tasks", 1000000)
	touched := make([]uint8, tasks)
	start()
	var wg sync.WaitGroup
	wg.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func(touched *uint8) {
			*touched++
			wg.Done()
		}(&touched[i])
	}
	wg.Wait()
	stop(tasks)
	once := 0
	for _, times := range touched {
		if times == 1 {
			once++
		}
	}
	prove("ran", int64(once), int64(tasks))
}

func runBatch() {
	batches, tasks := number("batches", 1000), number("tasks", 1000)
	counts := make([]uint32, tasks)
	start()
	for k := 0; k < batches; k++ {
		var wg sync.WaitGroup
		wg.Add(tasks)
		for i := range counts {
			go func(count *uint32) {
				*count++
				wg.Done()
			}(&counts[i])
		}
		wg.Wait()
	}
	stop(batches * tasks)
	ran := int64(0)
	for _, count := range counts {
		ran += int64(count)
	}
	prove("ran", ran, int64(batches*tasks))
}

func skynet(up chan int64, first, length int64) {
	if length == 1 {
		up <- first
		return
	}
	down := make(chan int64)
	for i := int64(0); i < 10; i++ {
		go skynet(down, first+i*length/10, length/10)
	}
	sum := int64(0)
	for i := 0; i < 10; i++ {
		sum += <-down
	}
	up <- sum
}

func runSkynet() {
	leaves := int64(math.Pow10(number("levels", 6)))
	start()
	up := make(chan int64)
	go skynet(up, 0, leaves)
	sum := <-up
	stop(0)
	prove("sum", sum, leaves*(leaves-1)/2)
}

// ---- uts: bench/uts_tree.h ----

type node struct {
	state [20]byte
	depth uint32
}

type found struct {
	nodes, leaves int64
	depth         uint32
}

type tree struct {
	binomial bool
	linear   bool
	b0, q    float64
	depth, m int
	seed     uint32
	found    found
}

var trees = map[string]tree{
	"T1":      {b0: 4, depth: 10, seed: 19, found: found{4130071, 3305118, 10}},
	"T3":      {binomial: true, b0: 2000, q: 0.124875, m: 8, seed: 42, found: found{4112897, 3599034, 1572}},
	"T5":      {linear: true, b0: 4, depth: 20, seed: 34, found: found{4147582, 2181318, 20}},
	"T1L":     {b0: 4, depth: 13, seed: 29, found: found{102181082, 81746377, 13}},
	"T3L":     {binomial: true, b0: 2000, q: 0.200014, m: 5, seed: 7, found: found{111345631, 89076904, 17844}},
	"default": {linear: true, b0: 4, depth: 6, seed: 0, found: found{1732, 1050, 6}},
}

var uts tree

func (parent *node) child(i uint32) node {
	var bytes [24]byte
	copy(bytes[:], parent.state[:])
	binary.BigEndian.PutUint32(bytes[20:], i)
	return node{sha1.Sum(bytes[:]), parent.depth + 1}
}

func root() node {
	var bytes [20]byte
	binary.BigEndian.PutUint32(bytes[16:], uts.seed)
	return node{sha1.Sum(bytes[:]), 0}
}

func (n *node) children() int {
	u := float64(binary.BigEndian.Uint32(n.state[16:])&0x7fffffff) / 2147483648.0
	if uts.binomial {
		if n.depth == 0 {
			return int(uts.b0)
		}
		if u < uts.q {
			return uts.m
		}
		return 0
	}
	b := uts.b0
	if uts.linear {
		b *= 1 - float64(n.depth)/float64(uts.depth)
	} else if int(n.depth) >= uts.depth {
		b = 0
	}
	children := math.Floor(math.Log(1-u) / math.Log(1-1/(1+b)))
	if !(children > 0) {
		return 0
	}
	return int(math.Min(children, 100))
}

func (n *node) visit(below *found) {
	children := n.children()
	below.nodes, below.depth = 1, n.depth
	if children == 0 {
		below.leaves = 1
		return
	}
	counts := make([]found, children)
	var wg sync.WaitGroup
	wg.Add(children)
	for i := range counts {
		child := n.child(uint32(i))
		go func(count *found) {
			child.visit(count)
			wg.Done()
		}(&counts[i])
	}
	wg.Wait()
	for _, count := range counts {
		below.nodes += count.nodes
		below.leaves += count.leaves
		if count.depth > below.depth {
			below.depth = count.depth
		}
	}
}

func runUts() {
	var known bool
	if uts, known = trees[text("tree", "T1")]; !known {
		cannot("of the UTS trees it knows T1, T3, T5, T1L, T3L and default")
	}
	var sum found
	start()
	top := root()
	top.visit(&sum)
	stop(0)
	prove("nodes", sum.nodes, uts.found.nodes)
	prove("depth", int64(sum.depth), int64(uts.found.depth))
	prove("leaves", sum.leaves, uts.found.leaves)
}

// ---- queens ----

type board struct {
	column [16]uint8
	row    int
}

var queens int
var pairs bool

func (b *board) free(row, column int) bool {
	for i := 0; i < row; i++ {
		distance := int(b.column[i]) - column
		if distance == 0 || distance == row-i || distance == i-row {
			return false
		}
	}
	return true
}

func (b *board) safe(column int) bool {
	if pairs {
		for i := 1; i < b.row; i++ {
			if !b.free(i, int(b.column[i])) {
				return false
			}
		}
	}
	return b.free(b.row, column)
}

func (b *board) place() int64 {
	if b.row == queens {
		return 1
	}
	var solutions [16]int64
	var wg sync.WaitGroup
	for column := 0; column < queens; column++ {
		if !b.safe(column) {
			continue
		}
		next := *b
		next.column[next.row] = uint8(column)
		next.row++
		wg.Add(1)
		go func(count *int64) {
			*count = next.place()
			wg.Done()
		}(&solutions[column])
	}
	wg.Wait()
	sum := int64(0)
	for _, count := range solutions {
		sum += count
	}
	return sum
}

func runQueens() {
	known := []int64{1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512}
	queens = number("n", 12)
	pairs = text("test", "pairs") == "pairs"
	start()
	solutions := new(board).place()
	stop(0)
	prove("solutions", solutions, known[queens])
}

// ---- sort ----

var grain int

func insertionSort(a []uint32) {
	for i := 1; i < len(a); i++ {
		value, j := a[i], i
		for ; j > 0 && a[j-1] > value; j-- {
			a[j] = a[j-1]
		}
		a[j] = value
	}
}

func mergeSerial(a, b, out []uint32) {
	i, j := 0, 0
	for k := range out {
		if j == len(b) || (i < len(a) && a[i] <= b[j]) {
			out[k] = a[i]
			i++
		} else {
			out[k] = b[j]
			j++
		}
	}
}

func sortSerial(a, b []uint32, over bool) {
	if len(a) <= 12 {
		insertionSort(a)
		if over {
			copy(b, a)
		}
		return
	}
	half := len(a) / 2
	sortSerial(a[:half], b[:half], !over)
	sortSerial(a[half:], b[half:], !over)
	if over {
		mergeSerial(a[:half], a[half:], b)
	} else {
		mergeSerial(b[:half], b[half:], a)
	}
}

func merge(a, b, out []uint32) {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a)+len(b) <= grain {
		mergeSerial(a, b, out)
		return
	}
	i := len(a) / 2
	j := sort.Search(len(b), func(k int) bool { return b[k] >= a[i] })
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		merge(a[:i], b[:j], out[:i+j])
		wg.Done()
	}()
	merge(a[i:], b[j:], out[i+j:])
	wg.Wait()
}

func mergeSort(a, b []uint32, over bool) {
	if len(a) <= grain {
		sortSerial(a, b, over)
		return
	}
	half := len(a) / 2
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		mergeSort(a[:half], b[:half], !over)
		wg.Done()
	}()
	mergeSort(a[half:], b[half:], !over)
	wg.Wait()
	if over {
		merge(a[:half], a[half:], b)
	} else {
		merge(b[:half], b[half:], a)
	}
}

func sums(a []uint32) (int64, int64) {
	var sum, squares uint64
	for _, value := range a {
		sum += uint64(value)
		squares += uint64(value) * uint64(value)
	}
	return int64(sum & math.MaxInt64), int64(squares & math.MaxInt64)
}

func runSort() {
	n := number("n", 10000000)
	grain = number("grain", 16384)
	state := uint64(number("seed", 1))
	a, b := make([]uint32, n), make([]uint32, n)
	for i := range a {
		a[i] = uint32(random(&state) >> 32)
	}
	inputSum, inputSquares := sums(a)
	start()
	mergeSort(a, b, false)
	stop(0)
	ordered := int64(1)
	for i := 1; i < n; i++ {
		if a[i-1] <= a[i] {
			ordered++
		}
	}
	sum, squares := sums(a)
	prove("ordered", ordered, int64(n))
	prove("sum", sum, inputSum)
	prove("squares", squares, inputSquares)
}

// ---- matmul ----

const leaf = 64

var stride int

type block struct {
	a, b, c               []float64
	rows, columns, common int
}

func (w *block) multiply() {
	for i := 0; i < w.rows; i++ {
		row := w.c[i*stride:][:w.columns]
		for k := 0; k < w.common; k++ {
			x := w.a[i*stride+k]
			for j, y := range w.b[k*stride:][:len(row)] {
				row[j] += x * y
			}
		}
	}
}

func (w *block) run() {
	most := w.rows
	if w.columns > most {
		most = w.columns
	}
	if w.common > most {
		most = w.common
	}
	if most <= leaf {
		w.multiply()
		return
	}
	first := (most/2 + 7) &^ 7
	low, high := *w, *w
	switch most {
	case w.rows:
		low.rows, high.rows = first, w.rows-first
		high.a, high.c = w.a[first*stride:], w.c[first*stride:]
	case w.columns:
		low.columns, high.columns = first, w.columns-first
		high.b, high.c = w.b[first:], w.c[first:]
	default:
		low.common, high.common = first, w.common-first
		high.a, high.b = w.a[first:], w.b[first*stride:]
		low.run()
		high.run()
		return
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		high.run()
		wg.Done()
	}()
	low.run()
	wg.Wait()
}

func runMatmul() {
	n := number("n", 1024)
	stride = (n+7)&^7 + 8
	state := uint64(1)
	all := block{make([]float64, n*stride), make([]float64, n*stride), make([]float64, n*stride), n, n, n}
	for i := range all.a {
		all.a[i] = float64(random(&state) % 8)
		all.b[i] = float64(random(&state) % 8)
	}
	start()
	all.run()
	stop(0)
	var sum, trace, gotSum, gotTrace int64
	for k := 0; k < n; k++ {
		var down, across float64
		for i := 0; i < n; i++ {
			down += all.a[i*stride+k]
			across += all.b[k*stride+i]
			trace += int64(all.a[i*stride+k] * all.b[k*stride+i])
			gotSum += int64(all.c[k*stride+i])
		}
		sum += int64(down * across)
		gotTrace += int64(all.c[k*stride+k])
	}
	prove("sum", gotSum, sum)
	prove("trace", gotTrace, trace)
}

// ---- goroutines that wait ----

func runYield() {
	tasks := number("tasks", 1000)
	rounds := number("switches", 20000000) / tasks
	if rounds == 0 {
		rounds = 1
	}
	var ready, done sync.WaitGroup
	var yields int64
	open := make(chan struct{})
	ready.Add(tasks)
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			ready.Done()
			<-open
			mine := int64(0)
			for ; mine < int64(rounds); mine++ {
				runtime.Gosched()
			}
			atomic.AddInt64(&yields, mine)
			done.Done()
		}()
	}
	ready.Wait()
	start()
	close(open)
	done.Wait()
	stop(rounds * tasks)
	prove("yields", yields, int64(rounds*tasks))
}

func runPingpong() {
	rounds := int64(number("rounds", 2000000))
	there, back := make(chan int64), make(chan int64)
	var wg sync.WaitGroup
	var pings, pongs int64
	wg.Add(2)
	start()
	go func() {
		for ; pongs < rounds; pongs++ {
			back <- <-there
		}
		wg.Done()
	}()
	go func() {
		for i := int64(0); i < rounds; i++ {
			there <- i
			if <-back == i {
				pings++
			}
		}
		wg.Done()
	}()
	wg.Wait()
	stop(int(rounds))
	prove("pings", pings, rounds)
	prove("pongs", pongs, rounds)
}

func runChan() {
	senders, receivers := number("senders", 1), number("receivers", 1)
	each := number("items", 4000000) / senders
	if each == 0 {
		each = 1
	}
	items := make(chan int64, number("capacity", 256))
	var sending, receiving sync.WaitGroup
	var sum, count int64
	sending.Add(senders)
	receiving.Add(receivers)
	start()
	for i := 0; i < receivers; i++ {
		go func() {
			var mySum, myCount int64
			for item := range items {
				mySum += item
				myCount++
			}
			atomic.AddInt64(&sum, mySum)
			atomic.AddInt64(&count, myCount)
			receiving.Done()
		}()
	}
	for i := 0; i < senders; i++ {
		go func() {
			for item := int64(1); item <= int64(each); item++ {
				items <- item
			}
			sending.Done()
		}()
	}
	sending.Wait()
	close(items)
	receiving.Wait()
	stop(each * senders)
	prove("items", count, int64(each*senders))
	prove("sum", sum, int64(senders*(each*(each+1)/2)))
}

func runPark() {
	tasks := number("tasks", 1000000)
	before := status("VmRSS:")
	var arrived, done sync.WaitGroup
	var woken int64
	open := make(chan struct{})
	start()
	arrived.Add(tasks)
	done.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			arrived.Done()
			<-open
			atomic.AddInt64(&woken, 1)
			done.Done()
		}()
	}
	arrived.Wait()
	stop(0)
	more["memory"] = figure{"bytes/task", float64(status("VmRSS:")-before) / float64(tasks)}
	wake := time.Now()
	close(open)
	done.Wait()
	more["wake"] = figure{"ms", float64(time.Since(wake)) / 1e6}
	prove("woken", woken, int64(tasks))
}

func runTimers() {
	tasks, longest := number("tasks", 100000), uint64(number("longest", 1000))*1000000
	state := uint64(number("seed", 1))
	naps := make([]time.Duration, tasks)
	late := make([]float64, tasks)
	for i := range naps {
		naps[i] = time.Duration(random(&state) % longest)
	}
	var wg sync.WaitGroup
	wg.Add(tasks)
	start()
	for i := range naps {
		go func(i int) {
			before := time.Now()
			time.Sleep(naps[i])
			late[i] = float64(time.Since(before)-naps[i]) / 1e3
			wg.Done()
		}(i)
	}
	wg.Wait()
	stop(0)
	value = cpuMs
	early := int64(0)
	for _, one := range late {
		if one < 0 {
			early++
		}
	}
	sort.Float64s(late)
	more["lateness_us.p50"] = figure{"us", late[(tasks-1)/2]}
	more["lateness_us.p99"] = figure{"us", late[(tasks*99+99)/100-1]}
	more["lateness_us.max"] = figure{"us", late[tasks-1]}
	prove("slept", int64(tasks), int64(tasks))
	prove("early", early, 0)
}

func runMutex() {
	tasks, pairs := number("tasks", 1), number("pairs", 20000000)
	if number("inside", 0) != 0 {
		cannot("it has nothing to do inside the lock")
	}
	turns := pairs / tasks
	if turns == 0 {
		turns = 1
	}
	fewer := turns / 10
	if fewer == 0 {
		fewer = 1
	}
	var mutex sync.Mutex
	counter := 0
	var longest time.Duration
	var wg sync.WaitGroup
	wg.Add(tasks)
	start()
	for i := 0; i < tasks; i++ {
		go func() {
			for k := 0; k < turns; k++ {
				mutex.Lock()
				counter++
				mutex.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	stop(turns * tasks)
	wg.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for k := 0; k < fewer; k++ {
				before := time.Now()
				mutex.Lock()
				if wait := time.Since(before); wait > longest {
					longest = wait
				}
				counter++
				mutex.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	more["longest wait"] = figure{"us", float64(longest) / 1e3}
	prove("counter", int64(counter), int64((turns+fewer)*tasks))
}

// ---- main ----

var workloads = map[string]struct {
	unit string
	run  func()
	most map[string]int
}{
	"fork":     {"ns/task", runFork, nil},
	"flat":     {"ns/task", runFlat, nil},
	"batch":    {"ns/task", runBatch, nil},
	"skynet":   {"ms", runSkynet, nil},
	"uts":      {"ms", runUts, nil},
	"queens":   {"ms", runQueens, nil},
	"sort":     {"ms", runSort, nil},
	"matmul":   {"ms", runMatmul, nil},
	"yield":    {"ns/switch", runYield, nil},
	"pingpong": {"ns/round", runPingpong, nil},
	"chan":     {"ns/item", runChan, nil},
	"park":     {"ms", runPark, nil},
	"timers":   {"ms CPU", runTimers, nil},
	"mutex":    {"ns/pair", runMutex, nil},
}

func list() {
	most := map[string]map[string]int{}
	for name, workload := range workloads {
		most[name] = map[string]int{}
		for key, limit := range workload.most {
			most[name][key] = limit
		}
	}
	line, _ := json.Marshal(map[string]interface{}{"peer": "go", "version": runtime.Version(), "workloads": most})
	fmt.Println(string(line))
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		list()
		return
	}
	if len(os.Args) < 2 || len(os.Args)%2 != 0 {
		fmt.Fprintln(os.Stderr, "usage: peer-go --list\n       peer-go WORKLOAD --workers N [--KEY VALUE]...")
		os.Exit(2)
	}
	for i := 2; i+1 < len(os.Args); i += 2 {
		args[strings.TrimPrefix(os.Args[i], "--")] = os.Args[i+1]
	}
	workload, known := workloads[os.Args[1]]
	if !known {
		cannot("it has no means for that workload")
	}
	workers := number("workers", 1)
	runtime.GOMAXPROCS(workers)
	for turn := 0; turn < 2; turn++ {
		check, more = map[string]int64{}, map[string]figure{}
		if turn == 1 {
			os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
		}
		workload.run()
	}
	line, _ := json.Marshal(map[string]interface{}{
		"peer": "go", "version": runtime.Version(), "workload": os.Args[1], "unit": workload.unit, "value": value, "workers": workers,
		"check": check, "wall_ms": wallMs, "cpu_ms": cpuMs, "peak_rss": status("VmHWM:"), "more": more})
	fmt.Println(string(line))
	if wrong {
		os.Exit(1)
	}
}
