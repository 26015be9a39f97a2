// SPDX-License-Identifier: MIT

// Goroutines over matrices.
package main

import (
	"math"
	"sync"
)

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

// ---- strassen: bench/strassen.c ----

const pad = 8

var cutoff int

type square struct {
	at   []float64
	size int
	step int
}

func newSquare(size int) square {
	return square{make([]float64, size*(size+pad)), size, size + pad}
}

func (s square) row(i int) []float64 {
	return s.at[i*s.step:][:s.size]
}

func (s square) quarters() (q11, q12, q21, q22 square) {
	half := s.size / 2
	at := func(i, j int) square { return square{s.at[i*half*s.step+j*half:], half, s.step} }
	return at(0, 0), at(0, 1), at(1, 0), at(1, 1)
}

func multiplyPlainly(a, b, c square) {
	for i := 0; i < c.size; i++ {
		to, left := c.row(i), a.row(i)
		for j := range to {
			to[j] = 0
		}
		for k, x := range left {
			for j, y := range b.row(k)[:len(to)] {
				to[j] += x * y
			}
		}
	}
}

// sumsBefore puts S1 to S4 of Winograd's form into s: sums of quarters of a; differencesBefore T1 to T4 into t: of b.
func sumsBefore(a square, s [4]square, begin, end int) {
	a11, a12, a21, a22 := a.quarters()
	for i := begin; i < end; i++ {
		r11, r12, r21, r22 := a11.row(i), a12.row(i), a21.row(i), a22.row(i)
		s1, s2, s3, s4 := s[0].row(i), s[1].row(i), s[2].row(i), s[3].row(i)
		for j := range r11 {
			sum := r21[j] + r22[j]
			s1[j] = sum
			s2[j] = sum - r11[j]
			s3[j] = r11[j] - r21[j]
			s4[j] = r12[j] - (sum - r11[j])
		}
	}
}

func differencesBefore(b square, t [4]square, begin, end int) {
	b11, b12, b21, b22 := b.quarters()
	for i := begin; i < end; i++ {
		r11, r12, r21, r22 := b11.row(i), b12.row(i), b21.row(i), b22.row(i)
		t1, t2, t3, t4 := t[0].row(i), t[1].row(i), t[2].row(i), t[3].row(i)
		for j := range r11 {
			difference := r12[j] - r11[j]
			t1[j] = difference
			t2[j] = r22[j] - difference
			t3[j] = r22[j] - r12[j]
			t4[j] = r22[j] - difference - r21[j]
		}
	}
}

// sumsAfter makes C of the seven products: it holds P2, P3, P4 and P7.
func sumsAfter(c, p1, p5, p6 square, begin, end int) {
	c11, c12, c21, c22 := c.quarters()
	for i := begin; i < end; i++ {
		r11, r12, r21, r22 := c11.row(i), c12.row(i), c21.row(i), c22.row(i)
		r1, r5, r6 := p1.row(i), p5.row(i), p6.row(i)
		for j := range r11 {
			u2 := r1[j] + r6[j]
			u3 := u2 + r22[j]
			r11[j] += r1[j]
			r12[j] += u2 + r5[j]
			r21[j] = u3 - r21[j]
			r22[j] = u3 + r5[j]
		}
	}
}

func strassen(a, b, c square) {
	const rows = 16 // of sums in a part
	if c.size <= cutoff {
		multiplyPlainly(a, b, c)
		return
	}
	var s, t [4]square
	half := c.size / 2
	for i := range s {
		s[i], t[i] = newSquare(half), newSquare(half)
	}
	p1, p5, p6 := newSquare(half), newSquare(half), newSquare(half)
	loop(half, rows, func(begin, end int) {
		sumsBefore(a, s, begin, end)
		differencesBefore(b, t, begin, end)
	})
	a11, a12, _, a22 := a.quarters()
	b11, _, b21, b22 := b.quarters()
	c11, c12, c21, c22 := c.quarters()
	products := [7][3]square{{a11, b11, p1}, {a12, b21, c11}, {s[3], b22, c12}, {a22, t[3], c21}, {s[0], t[0], p5}, {s[1], t[1], p6},
		{s[2], t[2], c22}}
	var wg sync.WaitGroup
	wg.Add(6)
	for _, product := range products[1:] {
		go func(a, b, c square) {
			strassen(a, b, c)
			wg.Done()
		}(product[0], product[1], product[2])
	}
	strassen(products[0][0], products[0][1], products[0][2])
	wg.Wait()
	loop(half, rows, func(begin, end int) { sumsAfter(c, p1, p5, p6, begin, end) })
}

func apply(matrix square, vector []float64) []float64 {
	product := make([]float64, len(vector))
	for i := range product {
		for j, x := range matrix.row(i) {
			product[i] += x * vector[j]
		}
	}
	return product
}

func runStrassen() {
	n := number("n", 1024)
	cutoff = number("cutoff", 64)
	for size := n; size > cutoff; size /= 2 {
		if size%2 != 0 {
			cannot("n cannot be halved down to the cut-off")
		}
	}
	a, b, c := newSquare(n), newSquare(n), newSquare(n)
	x := make([]float64, n)
	state := uint64(1)
	for i := range a.at {
		a.at[i] = float64(random(&state) % 8)
		b.at[i] = float64(random(&state) % 8)
		c.at[i] = -1
	}
	for i := range x {
		x[i] = float64(random(&state) % 1024)
	}
	start()
	strassen(a, b, c)
	stop(0)
	// Freivalds: C x is A (B x)
	expected, got := apply(a, apply(b, x)), apply(c, x)
	var rows, sum, expectedSum int64
	for k := 0; k < n; k++ {
		rows += yes(got[k] == expected[k])
		var down, across float64
		for i := 0; i < n; i++ {
			down += a.row(i)[k]
			across += b.row(k)[i]
			sum += int64(c.row(k)[i])
		}
		expectedSum += int64(down * across)
	}
	prove("rows", rows, int64(n))
	prove("sum", sum, expectedSum)
}

// ---- cholesky: bench/cholesky.c ----

type tile struct {
	lower, upper []float64     // what is computed, row by row, and, once it is final, transposed
	final        chan struct{} // closed then
}

func transpose(from, to []float64, size int) {
	for y := 0; y < size; y++ {
		for x := 0; x < size; x++ {
			to[x*size+y] = from[y*size+x]
		}
	}
}

// subtract takes a b from c; of a tile of the diagonal only up to the row's own column.
func subtract(a, b, c []float64, size int, triangle bool) {
	for y := 0; y < size; y++ {
		width := size
		if triangle {
			width = y + 1
		}
		row := c[y*size:][:width]
		for k := 0; k < size; k++ {
			element := a[y*size+k]
			for x, other := range b[k*size:][:len(row)] {
				row[x] -= element * other
			}
		}
	}
}

func (t *tile) potrf(size int) {
	c, l := t.lower, t.upper
	for k := 0; k < size; k++ {
		root := math.Sqrt(c[k*size+k])
		for y := 0; y < size; y++ {
			l[k*size+y] = 0
			if y >= k {
				l[k*size+y] = c[y*size+k] / root
			}
		}
		for y := k + 1; y < size; y++ {
			for x := k + 1; x <= y; x++ {
				c[y*size+x] -= l[k*size+y] * l[k*size+x]
			}
		}
	}
	transpose(l, c, size)
}

func (t *tile) trsm(l []float64, size int) {
	for y := 0; y < size; y++ {
		row := t.lower[y*size:][:size]
		for k := range row {
			row[k] /= l[k*size+k]
			element := row[k]
			for x := k + 1; x < len(row); x++ {
				row[x] -= element * l[k*size+x]
			}
		}
	}
	transpose(t.lower, t.upper, size)
}

// finish makes tile (i, j) final: a goroutine's work.
func finish(tiles [][]*tile, i, j, size int) {
	t := tiles[i][j]
	for k := 0; k < j; k++ {
		left, other := tiles[i][k], tiles[j][k]
		<-left.final
		<-other.final
		subtract(left.lower, other.upper, t.lower, size, i == j)
	}
	if i == j {
		t.potrf(size)
	} else {
		<-tiles[j][j].final
		t.trsm(tiles[j][j].upper, size)
	}
	close(t.final)
}

// makeKnown makes a tile of L, of small whole numbers.
func makeKnown(state *uint64, size int, diagonal bool) []float64 {
	known := make([]float64, size*size)
	for y := 0; y < size; y++ {
		for x := 0; x < size; x++ {
			var element float64
			if diagonal && x == y {
				element = float64(1 + random(state)%4)
			} else {
				element = float64(random(state)%7) - 3
			}
			if !diagonal || x <= y {
				known[y*size+x] = element
			}
		}
	}
	return known
}

// multiplyTiles makes A = L L' of the tiles of L.
func multiplyTiles(known [][][]float64, size int) [][]*tile {
	edge := len(known)
	minus := make([][][]float64, edge)
	tiles := make([][]*tile, edge)
	for i := range tiles {
		for j := 0; j <= i; j++ {
			turned := make([]float64, size*size)
			transpose(known[i][j], turned, size)
			for e := range turned {
				turned[e] = -turned[e]
			}
			minus[i] = append(minus[i], turned)
			tiles[i] = append(tiles[i], &tile{make([]float64, size*size), make([]float64, size*size), make(chan struct{})})
		}
	}
	for i := range tiles {
		for j, t := range tiles[i] {
			for k := 0; k <= j; k++ {
				subtract(known[i][k], minus[j][k], t.lower, size, false)
			}
		}
	}
	return tiles
}

func runCholesky() {
	n, size := number("n", 2048), number("tile", 64)
	if n%size != 0 {
		cannot("n must be a multiple of tile")
	}
	edge, state := n/size, uint64(1)
	known := make([][][]float64, edge)
	for i := range known {
		for j := 0; j <= i; j++ {
			known[i] = append(known[i], makeKnown(&state, size, i == j))
		}
	}
	tiles := multiplyTiles(known, size)
	start()
	var wg sync.WaitGroup
	for i := range tiles {
		for j := range tiles[i] {
			wg.Add(1)
			go func(i, j int) {
				finish(tiles, i, j, size)
				wg.Done()
			}(i, j)
		}
	}
	wg.Wait()
	stop(0)
	var right, elements int64
	for i := range tiles {
		for j, t := range tiles[i] {
			for e, element := range t.lower {
				right += yes(element == known[i][j][e])
				elements++
			}
		}
	}
	prove("right", right, elements)
}
