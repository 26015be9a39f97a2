// SPDX-License-Identifier: MIT

// stall-go KIND SECONDS STALL-MS PAUSE-MS TASKS WORKERS: workload stall of filch-bench with goroutines, on WORKERS processors. What
// it does and prints is explained in bench/stall.c.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const nap = time.Millisecond

var stallTime, pause time.Duration

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "stall-go:", err)
		os.Exit(int(syscall.EIO))
	}
}

func number(arg string) float64 {
	value, err := strconv.ParseFloat(arg, 64)
	must(err)
	return value
}

func cpuTime() int64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func sleeper(end time.Time, late []int64) []int64 {
	for {
		before := time.Now()
		if !before.Before(end) || len(late) == cap(late) {
			return late
		}
		time.Sleep(nap)
		late = append(late, int64(time.Since(before)-nap))
	}
}

func compute() {
	sum := uint64(1)
	for begin := time.Now(); time.Since(begin) < stallTime; {
		for i := 0; i < 1000; i++ {
			sum = sum*6364136223846793005 + 1442695040888963407
		}
	}
	atomic.AddUint64(&sums, sum)
}

var sums uint64

// A signal, such as the one that preempts goroutines, ends a nanosleep early.
func nanosleep() {
	left := syscall.NsecToTimespec(int64(stallTime))
	for {
		err := syscall.Nanosleep(&left, &left)
		if err != syscall.EINTR {
			must(err)
			return
		}
	}
}

func makeFifo() [2]int {
	folder, err := os.MkdirTemp("", "filch-stall-")
	must(err)
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "fifo")
	must(syscall.Mkfifo(path, 0600))
	writer, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	must(err)
	reader, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	must(err)
	return [2]int{reader, writer}
}

func makePipe() [2]int {
	var ends [2]int
	must(syscall.Pipe2(ends[:], syscall.O_CLOEXEC))
	return ends
}

// reading returns a stall in read(2) of a descriptor that blocks; another goroutine writes in time.
func reading(ends [2]int) func() {
	requests := make(chan struct{})
	go func() {
		for range requests {
			time.Sleep(stallTime)
			_, err := syscall.Write(ends[1], []byte{0})
			must(err)
		}
	}()
	return func() {
		var one [1]byte
		requests <- struct{}{}
		_, err := syscall.Read(ends[0], one[:])
		must(err)
	}
}

func staller(end time.Time, stall func()) int64 {
	done := int64(0)
	time.Sleep(pause)
	for {
		begin := time.Now()
		if begin.Add(stallTime).After(end) {
			return done
		}
		stall()
		if time.Since(begin) >= stallTime {
			done++
		}
		time.Sleep(pause)
	}
}

func stallsOf(kind string, workers int) []func() {
	var stalls []func()
	count := map[string]int{"none": 0, "cpu": 1, "allcpu": workers, "sleep": 1, "pipe": 1, "fifo": workers}
	for i := 0; i < count[kind]; i++ {
		switch kind {
		case "cpu", "allcpu":
			stalls = append(stalls, compute)
		case "sleep":
			stalls = append(stalls, nanosleep)
		case "pipe":
			stalls = append(stalls, reading(makePipe()))
		case "fifo":
			stalls = append(stalls, reading(makeFifo()))
		}
	}
	return stalls
}

func main() {
	if len(os.Args) != 7 {
		fmt.Fprintln(os.Stderr, "usage: stall-go KIND SECONDS STALL-MS PAUSE-MS TASKS WORKERS")
		os.Exit(2)
	}
	seconds, tasks, workers := number(os.Args[2]), int(number(os.Args[5])), int(number(os.Args[6]))
	stallTime = time.Duration(number(os.Args[3])) * time.Millisecond
	pause = time.Duration(number(os.Args[4])) * time.Millisecond
	runtime.GOMAXPROCS(workers)

	length := time.Duration(seconds * float64(time.Second))
	stalls := stallsOf(os.Args[1], workers)
	late := make([][]int64, tasks)
	for i := range late {
		late[i] = make([]int64, 0, length/nap+1)
	}

	var all sync.WaitGroup
	var done int64
	cpu, end := cpuTime(), time.Now().Add(length)
	for i := range late {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			late[i] = sleeper(end, late[i])
		}(i)
	}
	for _, stall := range stalls {
		all.Add(1)
		go func(stall func()) {
			defer all.Done()
			atomic.AddInt64(&done, staller(end, stall))
		}(stall)
	}
	all.Wait()
	cpu = cpuTime() - cpu

	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintf(out, "cpu %d stalls %d\n", cpu, done)
	for _, one := range late {
		fmt.Fprintf(out, "task %d\n", len(one))
		for _, ns := range one {
			fmt.Fprintln(out, ns)
		}
	}
	must(out.Flush())
}
