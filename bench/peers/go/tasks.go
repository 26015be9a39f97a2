// SPDX-License-Identifier: MIT

// Goroutines that are joined.
package main

import (
	"crypto/sha1"
	"encoding/binary"
	"math"
	"sync"
)

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

// ---- integrate: bench/integrate.c ----

var epsilon float64

// The conversions keep compilers from fusing a product with a sum: the number of areas hangs on the last bit.
func f(x float64) float64 {
	return x * (float64(x*x) + 1)
}

// integrate returns the integral from x1 to x2, where f is y1 and y2 and below whose chord lies area; and in how many areas.
func integrate(x1, y1, x2, y2, area float64) (float64, int64) {
	width := (x2 - x1) / 2
	x := x1 + width
	y := f(x)
	left, right := float64((y1+y)/2*width), float64((y+y2)/2*width)
	if math.Abs(left+right-area) < epsilon {
		return left + right, 1
	}
	var rightAreas int64
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		right, rightAreas = integrate(x, y, x2, y2, right)
		wg.Done()
	}()
	left, leftAreas := integrate(x1, y1, x, y, left)
	wg.Wait()
	return left + right, leftAreas + rightAreas
}

func runIntegrate() {
	n := float("n", 1000)
	epsilon = float("epsilon", 1e-9)
	start()
	area, areas := integrate(0, 0, n, f(n), 0)
	stop(0)
	exact := n * n * (n*n + 2) / 4
	prove("areas", areas, areas)
	prove("right", yes(math.Abs(area-exact) <= epsilon*float64(areas)+exact*1e-13), 1)
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
	"deep":    {binomial: true, b0: 1, q: 0.5, m: 2, seed: 75665, found: found{13715006, 6857503, 12251}},
	"chains":  {binomial: true, b0: 500, q: 0.9999, m: 1, seed: 5, found: found{4766123, 500, 101071}},
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
		cannot("of the UTS trees it knows T1, T3, T5, T1L, T3L, deep, chains and default")
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
