// SPDX-License-Identifier: MIT

// Go: a task is a goroutine; joins are a sync.WaitGroup, results lie in the parent's frame or, in skynet as its author wrote it, go
// through a channel. Channels are Go's own, a mutex is sync.Mutex, a yield is runtime.Gosched. GOMAXPROCS is --workers.
//
//	tasks.go    goroutines that are joined
//	matrices.go, arrays.go
//	            the same over arrays: their serial parts are written in Go again, and its compiler is compared in them, too
//	waiting.go  goroutines that wait for each other
//
// Of the deep UTS trees it has T3: four million goroutines that wait, as in chains, take seven gigabytes, and deep takes half a minute.
// What depends on something waits for its channel to be closed, in cholesky and wavefront; a parallel loop is a goroutine a processor,
// which all draw from one counter, or, where parts make results, a goroutine a part.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
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

func float(key string, otherwise float64) float64 {
	value, err := strconv.ParseFloat(text(key, fmt.Sprint(otherwise)), 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func number(key string, otherwise int) int {
	return int(float(key, float64(otherwise)))
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
	resident      int64 // memory before the first pass: what goroutines have had is kept for those that follow
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

// yes is 1: checks are whole numbers.
func yes(right bool) int64 {
	if right {
		return 1
	}
	return 0
}

// lateness says how late, in us, all were; sorts them.
func lateness(late []float64) {
	sort.Float64s(late)
	count := len(late)
	for _, permille := range []int{100, 250, 500, 750, 900, 950, 980, 990, 995, 999} {
		more[fmt.Sprintf("lateness_us.p%g", float64(permille)/10)] = figure{"us", late[(count*permille+999)/1000-1]}
	}
	more["lateness_us.max"] = figure{"us", late[count-1]}
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

// ---- main ----

// Numbers are limits, texts are choices.
type most map[string]interface{}

var workloads = map[string]struct {
	unit string
	run  func()
	most most
}{
	"fork":       {"ns/task", runFork, nil},
	"integrate":  {"ms", runIntegrate, most{"n": 300}},
	"stuck":      {"ms", runStuck, nil},
	"flat":       {"ns/task", runFlat, nil},
	"batch":      {"ns/task", runBatch, nil},
	"skynet":     {"ms", runSkynet, nil},
	"uts":        {"ms", runUts, most{"tree": "T1|T3|T5|default"}},
	"queens":     {"ms", runQueens, nil},
	"sort":       {"ms", runSort, nil},
	"matmul":     {"ms", runMatmul, nil},
	"strassen":   {"ms", runStrassen, nil},
	"cholesky":   {"ms", runCholesky, nil},
	"nbody":      {"ms", runNbody, nil},
	"wavefront":  {"ms", runWavefront, nil},
	"histogram":  {"ms", runHistogram, nil},
	"yield":      {"ns/switch", runYield, nil},
	"pingpong":   {"ns/round", runPingpong, nil},
	"threadring": {"ns/pass", runThreadring, nil},
	"chameneos":  {"ns/meeting", runChameneos, nil},
	"chan":       {"ns/item", runChan, nil},
	"prodcons":   {"ns/hop", runProdcons, nil},
	"select":     {"ns/item", runSelect, most{"channels": 8}},
	"park":       {"ms", runPark, nil},
	"cancel":     {"ms", runCancel, nil},
	"timers":     {"ms CPU", runTimers, nil},
	"mix":        {"us/unit", runMix, nil},
	"mutex":      {"ns/pair", runMutex, nil},
	"rwlock":     {"ns/pair", runRwlock, nil},
	"sem":        {"ns/pair", runSem, nil},
	"cond":       {"ms", runCond, nil},
}

func list() {
	all := map[string]most{}
	for name, workload := range workloads {
		all[name] = most{}
		for key, limit := range workload.most {
			all[name][key] = limit
		}
	}
	line, _ := json.Marshal(map[string]interface{}{"peer": "go", "version": runtime.Version(), "workloads": all})
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
	resident = status("VmRSS:")
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
